"""What a notebook's line of a model and of interactions says: short, and without folders."""

from __future__ import annotations

from dataclasses import replace

import torch

from vitreous import interactions
from vitreous.models.zoo import LoadedModel


def test_a_loaded_model_is_one_line(model: LoadedModel) -> None:
    said = repr(replace(model, name="/home/ada/models/mine"))
    assert said.startswith("LoadedModel(mine: VisionTransformer of ")
    assert said.endswith(" parameters, 4 classes)")
    assert "sigmoid" in repr(model.read_as(link="sigmoid"))


def test_interactions_are_one_line(model: LoadedModel) -> None:
    found = interactions(model, torch.rand(2, 3, 32, 32))
    assert repr(found) == "Interactions(2 × 16 patches (4×4) in 2 blocks)"
