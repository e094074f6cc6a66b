"""Samples as the model sees them: boxes and masks move with the picture, labels become the model's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.imagenet_info import ImageNetInfo

from tests.tiny import CLASSES
from vitreous.benchmarking.truth import move_boxes, prepare_sample
from vitreous.data.samples import Sample
from vitreous.errors import DataError, UnknownName
from vitreous.explaining.labels import match_labels
from vitreous.models.loaded import numbered
from vitreous.models.preprocess import Preprocess


def test_labels_by_name_and_by_position() -> None:
    assert match_labels(("hen", "tabby"), {0, 1}, CLASSES, "auto") == ({0: 2, 1: 0}, "name")
    assert match_labels(("7", "hen"), {0, 1}, CLASSES, "auto") == ({0: 3, 1: 2}, "name"), "a name that is a number"
    assert match_labels(("a", "b", "c", "d"), {0, 3}, CLASSES, "auto") == ({0: 0, 3: 3}, "position")
    assert match_labels(("tabby", "tabby cat"), {0, 1}, CLASSES, "auto") == ({}, "unknown")
    assert match_labels(("a", "b"), set(), CLASSES, "auto") == ({}, "unknown")
    with pytest.raises(UnknownName, match='no class named "cow"'):
        match_labels(("cow",), {0}, CLASSES, "name")
    with pytest.raises(DataError, match="one name"):
        match_labels(("tabby", "tabby cat"), {0, 1}, CLASSES, "name")
    with pytest.raises(DataError, match="has label 9"):
        match_labels(("x",) * 10, {9}, CLASSES, "position")


def test_wordnet_ids_are_names_of_imagenet() -> None:
    """A few of its folders, whose places among themselves say nothing."""
    imagenet = ImageNetInfo("imagenet-1k").label_descriptions()
    folders = ("n01443537", "n02085620", "n15075141")
    for names in (imagenet, [name.partition(",")[0] for name in imagenet]):
        assert match_labels(folders, {0, 1, 2}, names, "auto") == ({0: 1, 1: 151, 2: 999}, "name")
    assert match_labels(folders, {0, 1, 2}, numbered(1000), "auto") == ({}, "unknown")
    assert match_labels(folders, {0, 1, 2}, imagenet[::-1], "auto") == ({}, "unknown")


SHAPES = [(40, 30), (30, 40), (33, 71), (8, 8), (500, 333)]


WAYS = [
    Preprocess((32, 32), (36, 36)),
    Preprocess((32, 32), (32, 32), keep_ratio=False),
    Preprocess((32, 24), (40, 40), floor=True),
    Preprocess((32, 32), (32, 32), border=True),
    Preprocess((32, 32), (20, 20)),
]


@pytest.mark.parametrize("size", SHAPES)
@pytest.mark.parametrize("way", WAYS)
def test_boxes_and_masks_move_with_the_picture(way: Preprocess, size: tuple[int, int]) -> None:
    """A white rectangle on black is where its box and its mask are, to a pixel of the resize."""
    width, height = size
    box = (width // 4, height // 4, 3 * width // 4, 3 * height // 4)
    picture, mask = Image.new("RGB", size), np.zeros((height, width), bool)
    picture.paste((255, 255, 255), box)
    mask[box[1] : box[3], box[0] : box[2]] = True
    plain = replace(way, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), interpolation="bilinear")
    fitted = prepare_sample(Sample("a", picture, None, np.array([box], float), mask), plain, None)
    assert fitted.boxes is not None
    assert fitted.mask is not None
    assert fitted.mask.shape == fitted.image.shape[1:]
    white = fitted.image[0] > 0.5
    edge = (white != fitted.mask).float().sum()
    assert edge <= 2 * sum(fitted.mask.shape) * max(1.0, fitted.image.shape[1] / height)
    rows, columns = white.nonzero().T
    seen = torch.tensor([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    assert (fitted.boxes[0] - seen).abs().max() <= max(
        1, *(round(side / old) for side, old in zip(fitted.mask.shape, (height, width), strict=True))
    )


def test_boxes_outside_the_crop_are_left_out() -> None:
    boxes = torch.tensor([[0.0, 0.0, 3.0, 3.0], [30.0, 4.0, 60.0, 9.0], [20.1, 5.0, 20.2, 9.0]])
    moved = move_boxes(boxes, (20, 80), (20, 80), (0, 20), (20, 20))
    assert moved.tolist() == [[10, 4, 20, 9], [0, 5, 1, 9]]


def test_the_papers_boxes_come_out_as_the_authors_compute_them() -> None:
    """Int(v / side · 224) of each coordinate."""
    moved = move_boxes(torch.tensor([[10.0, 10.0, 99.0, 50.0]]), (100, 200), (224, 224), (0, 0), (224, 224))
    assert moved.tolist() == [[11, 22, 110, 112]]
