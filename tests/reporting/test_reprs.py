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


def test_a_notebook_shows_a_table_of_a_model(model: LoadedModel) -> None:
    shown = replace(model, name="/home/ada/models/<mine>")._repr_html_()
    for words in ("&lt;mine&gt;", "VisionTransformer, 32,356 parameters", "4: tabby", "32"):
        assert words in shown, words
    assert "/home" not in shown
    assert "no names" in replace(model, class_names=())._repr_html_()


def test_a_notebook_shows_pictures_of_interactions(model: LoadedModel) -> None:
    found = interactions(model, torch.rand(5, 3, 32, 32))
    shown = found._repr_html_()
    assert shown.count("<figure>") == 4
    assert shown.count("data:image/jpeg;base64,") == 4 * (1 + 2), "all blocks, and each"
    assert "… and 1 more" in shown
    assert "<script" not in shown
