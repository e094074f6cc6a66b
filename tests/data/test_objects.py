"""COCO's format: read, decoded, refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools import mask as coco

from tests.shapes_on_gray import draw_set
from vitreous.data.objects import read_scenes
from vitreous.errors import DataError

Change = Callable[[dict[str, Any]], object]


def changed(folder: Path, change: Change) -> Path:
    file = draw_set(folder, 2) / "annotations" / "instances_train.json"
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))
    return folder


def test_boxes_masks_and_labels_are_where_they_were_drawn(tmp_path: Path) -> None:
    scenes = read_scenes(draw_set(tmp_path, 3), "train")
    assert scenes.class_names == ("square", "disc")  # in the order of the category numbers 3, 18
    assert len(scenes) == 3
    for at in range(3):
        picture, objects = scenes[at]
        pixels = np.asarray(picture)
        assert objects.labels.tolist() == [1, 2]
        for (left, top, right, bottom), mask in zip(objects.boxes.int().tolist(), objects.masks, strict=True):
            rows, columns = mask.nonzero().unbind(1)
            assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (left, top, right, bottom)
        assert (objects.masks.sum((1, 2)).float() == objects.areas).all()
        for mask, color in zip(objects.masks.numpy(), ((220, 60, 40), (40, 90, 220)), strict=True):
            assert (mask == (pixels == color).all(2)).all()


def test_run_lengths_in_letters_and_in_numbers_are_the_same(tmp_path: Path) -> None:
    def spell(values: dict[str, Any]) -> None:
        for each in values["annotations"]:
            if isinstance(each["segmentation"], dict):
                letters: Any = coco.frPyObjects(each["segmentation"], *each["segmentation"]["size"])
                each["segmentation"] = {**letters, "counts": letters["counts"].decode()}

    spelled = read_scenes(changed(tmp_path / "a", spell), "train")
    plain = read_scenes(draw_set(tmp_path / "b", 2), "train")
    assert all(torch.equal(spelled[at][1].masks, plain[at][1].masks) for at in range(2))
    assert spelled.fingerprint != plain.fingerprint


def test_what_can_be_learned_from(tmp_path: Path) -> None:
    def edit(values: dict[str, Any]) -> None:
        first, second, third, fourth = values["annotations"]
        first["bbox"] = [-5, 10, 20, 200]
        second["iscrowd"] = 1
        third["bbox"][2] = 0.5
        fourth["iscrowd"] = 1

    scenes = read_scenes(changed(tmp_path, edit), "train")
    kept = scenes.learnable()
    assert (len(scenes), len(kept)) == (2, 1)
    assert kept[0][1].boxes.tolist() == [[0, 10, 15, 64]]
    assert scenes[0][1].crowd.tolist() == [False, True]
    assert scenes[0][1].boxes[0].tolist() == [-5, 10, 15, 210]


def test_a_picture_without_objects(tmp_path: Path) -> None:
    scenes = read_scenes(changed(tmp_path, lambda values: values["annotations"].clear()), "train")
    objects = scenes[0][1]
    assert (objects.boxes.shape, objects.masks.shape) == ((0, 4), (0, 64, 96))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda values: values.pop("categories"), "no 'categories'"),
        (lambda values: values["annotations"][0].pop("bbox"), "no 'bbox'"),
        (lambda values: values["annotations"][0].update(category_id=4), "no 4"),
        (lambda values: values["annotations"][0].update(bbox=[1, 2, 3]), "a `bbox` is"),
        (
            lambda values: values["annotations"][0].update(segmentation=[[1, 2, 3, 4]]),
            "neither run lengths nor polygons",
        ),
        (
            lambda values: values["annotations"][0].update(segmentation={"counts": [5]}),
            "neither run lengths nor polygons",
        ),
        (lambda values: values["annotations"][0].update(segmentation=[]), "neither run lengths nor polygons"),
        (lambda values: values["annotations"][0].update(image_id=77), r"a picture that it does not list \(77\)"),
        (lambda values: [values[name].clear() for name in ("images", "annotations")], "has no pictures"),
    ],
)
def test_annotations_that_mean_nothing(tmp_path: Path, change: Change, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_scenes(changed(tmp_path, change), "train")


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    folder = draw_set(tmp_path, 1)
    with pytest.raises(
        DataError, match=r"has no file `annotations/instances_val\.json`\. Name one of its splits: train"
    ):
        read_scenes(folder, "val")
    with pytest.raises(DataError, match="Lay it out as COCO"):
        read_scenes(folder / "train", "val")
    scenes = read_scenes(folder, "train")
    Image.new("RGB", (9, 8)).save(folder / "train" / "0.png")
    with pytest.raises(DataError, match="has 9×8 pixels, its annotations say 96×64"):
        scenes[0]
    (folder / "annotations" / "instances_train.json").write_text("{")
    with pytest.raises(DataError, match="is not JSON"):
        read_scenes(folder, "train")


@pytest.mark.parametrize("outline", [{"size": [3, 4], "counts": "1"}, {"size": [64, 96], "counts": [5]}])
def test_masks_that_cannot_be_decoded(tmp_path: Path, outline: dict[str, Any]) -> None:
    scenes = read_scenes(
        changed(tmp_path, lambda values: values["annotations"][0].update(segmentation=outline)), "train"
    )
    with pytest.raises(DataError, match=r"Export the annotations again|Download the file again"):
        scenes[0]


def test_gray_of_more_than_8_bits_is_read_by_the_window(tmp_path: Path) -> None:
    scenes = read_scenes(draw_set(tmp_path, 1), "train")
    file = tmp_path / scenes.folder / scenes.scenes[0].file
    gray = np.asarray(Image.open(file).convert("L"))
    Image.fromarray(gray.astype(np.uint16) * 16).save(file.with_suffix(".png"))
    deep = replace(scenes, scenes=[replace(scenes.scenes[0], file=file.with_suffix(".png").name)], window=(0.0, 4080.0))
    assert np.array_equal(np.asarray(deep[0][0])[..., 0], gray)
