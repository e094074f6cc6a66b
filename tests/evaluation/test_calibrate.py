"""A calibrated folder: other probabilities, the same decisions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.test_classify import PLAIN, dark_and_light, epochs_of
from vitreous.data.labelled import load_labelled, load_split
from vitreous.errors import ModelError
from vitreous.evaluation.calibrate import calibrate
from vitreous.evaluation.evaluate import answers
from vitreous.metrics.classification import fit_temperature
from vitreous.models.zoo import load
from vitreous.training.classify import train


def test_scores_are_divided_in_the_folder(tmp_path: Path) -> None:
    archive = dark_and_light(tmp_path / "set.npz")
    epochs_of(train(replace(PLAIN, epochs=1), load_labelled(archive), tmp_path / "out"))
    with np.load(archive) as kept:
        arrays = dict(kept)
    arrays["label"][-6:-1] = 1 - arrays["label"][-6:-1]  # so that it cannot be right about all
    np.savez(archive, **arrays)
    pictures = load_split(archive, "val")[0]
    model = load(tmp_path / "out")
    before = answers(model, pictures)
    temperature = calibrate(model, archive, "val")
    assert temperature == pytest.approx(fit_temperature(before.logits, before.labels))
    assert abs(temperature - 1) > 0.05
    again = load(tmp_path / "out")
    after = answers(again, pictures)
    torch.testing.assert_close(after.logits, before.logits / temperature, rtol=5e-3, atol=5e-3)  # half precision
    assert calibrate(again, archive, "val") == pytest.approx(1, abs=0.02)
    noted = json.loads((tmp_path / "out" / "model.json").read_text())["notes"]["temperature"]
    assert noted == pytest.approx(temperature, rel=0.02)


def test_models_of_others_are_left_as_they_are(tmp_path: Path) -> None:
    archive = dark_and_light(tmp_path / "set.npz")
    with pytest.raises(ModelError, match="`default` is no folder of your own"):
        calibrate(load("default"), archive, "val")
