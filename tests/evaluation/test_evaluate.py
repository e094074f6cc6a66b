"""What a model says of labelled pictures: each once, in order, and only of its own classes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data.imagenet_info import ImageNetInfo

from tests.tiny import CLASSES, noise
from vitreous.cli.confusions import confusion_lines
from vitreous.data.archives import ArraySplit
from vitreous.errors import DataError, ModelError
from vitreous.evaluation.cost import measure_cost
from vitreous.evaluation.evaluate import answers, evaluate
from vitreous.metrics.classification import confusion
from vitreous.models.zoo import LoadedModel

PIXELS = np.stack([np.asarray(noise(seed)) for seed in range(7)])
LABELS = np.arange(7) % 4


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_answers_are_the_models_own_whatever_the_batches(model: LoadedModel, batch_size: int) -> None:
    told: list[tuple[int, int]] = []
    pictures = ArraySplit(PIXELS, LABELS, CLASSES)
    given = answers(model, pictures, batch_size=batch_size, progress=lambda *step: told.append(step))
    assert model.preprocess
    for at, pixels in enumerate(PIXELS):
        alone = model.model(model.preprocess(Image.fromarray(pixels))[None])[0]
        torch.testing.assert_close(given.logits[at], alone)
    assert given.labels.tolist() == LABELS.tolist()
    assert told[-1] == (7, 7)


def test_other_classes_are_refused_and_unnamed_ones_are_not(model: LoadedModel) -> None:
    with pytest.raises(DataError, match="4 classes \\(hen, dog, tabby, tabby cat …\\)"):
        answers(model, ArraySplit(PIXELS, LABELS, ("hen", "dog", "tabby, tabby cat", "cow")))
    unnamed = ArraySplit(PIXELS, LABELS, ("class 0", "class 1", "class 2", "class 3"))
    assert len(answers(model, unnamed).labels) == 7
    with pytest.raises(ModelError, match="does not say how its pictures are prepared"):
        answers(replace(model, preprocess=None), unnamed)


def test_some_classes_by_name_are_found_among_the_models(model: LoadedModel) -> None:
    named = (CLASSES[3], CLASSES[1])
    given = answers(model, ArraySplit(PIXELS[:3], np.array([0, 1, 0]), named))
    assert given.labels.tolist() == [3, 1, 3]
    assert given.logits.shape == (3, 4)


def test_folders_are_named_by_wordnet_ids(model: LoadedModel) -> None:
    names = tuple(ImageNetInfo("imagenet-1k").label_descriptions())
    wide = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=8, depth=1, num_heads=1)
    imagenet = replace(model, model=wide.eval(), class_names=names)
    given = answers(imagenet, ArraySplit(PIXELS[:2], np.array([0, 1]), ("n02085620", "n01443537")))
    assert given.labels.tolist() == [151, 1]
    lines = [*confusion_lines(confusion(given.logits, given.labels), names)]
    assert len(lines) == 3


def test_the_cost_of_a_model_is_counted(model: LoadedModel) -> None:
    cost = measure_cost(model)
    tokens, width, depth, patch, classes = 17, 32, 2, 8 * 8 * 3, 4
    mixed = 2 * tokens * tokens * width
    dense = tokens * width * (4 + 8) * width
    assert cost.multiply_adds == 16 * patch * width + depth * (mixed + dense) + width * classes
    assert cost.parameters == sum(each.numel() for each in model.model.parameters())


def test_an_evaluation_is_written_with_what_it_depends_on(model: LoadedModel, tmp_path: Path) -> None:
    arrays = {f"{split}_images": PIXELS for split in ("train", "val", "test")}
    arrays |= {f"{split}_labels": LABELS for split in ("train", "val", "test")}
    np.savez(tmp_path / "set.npz", **arrays)
    found = evaluate(model, tmp_path / "set.npz", "test", tmp_path / "scores.json")
    written = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert written["scores"]["top1"]["value"] == found.scores["top1"].value
    counts = torch.tensor(written["confusion"])
    assert counts.sum(1).tolist() == [2, 2, 2, 1]
    assert found.scores["top1"].value == pytest.approx(counts.trace().item() / 7)
    assert torch.equal(counts, found.confusion)
    assert written["calibration_error"] == found.calibration_error
    assert written["cost"] == {"parameters": found.cost.parameters, "multiply_adds": found.cost.multiply_adds}
    assert written["weights_sha256"] == model.weights_sha256
    assert written["class_names"] == list(CLASSES)
