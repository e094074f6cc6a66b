"""Patches hidden by hand: the model's own answer on the filled picture, and each map's share of what can be lost."""

from __future__ import annotations

import pytest
import torch

from vitreous import explain
from vitreous.errors import ShapeError
from vitreous.explaining.trust.hiding import Hidden, foretold, hide
from vitreous.models.zoo import LoadedModel
from vitreous.trace.target import Classes


def test_the_value_is_the_models_on_the_filled_picture(model: LoadedModel) -> None:
    image, hidden = torch.randn(1, 3, 32, 32), torch.zeros(4, 4, dtype=torch.bool)
    hidden[1, 2] = True
    found = hide(model, image, hidden, Classes((2,)))
    filled = image.clone()
    filled[..., 8:16, 16:24] = 0  # the data set's mean
    with torch.no_grad():
        expected = model.model(torch.cat([image, filled])).softmax(1)
    assert found.of == f"probability of {model.class_names[2]}"
    assert [found.before, found.measured] == pytest.approx(expected[:, 2].tolist(), abs=1e-6)
    assert [each.index for each in found.said] == expected[1].argsort(descending=True).tolist()


def test_a_grid_need_not_be_the_models(model: LoadedModel) -> None:
    image = torch.randn(1, 3, 32, 32)
    half = torch.tensor([[True, False, False]])
    pixels = torch.zeros(32, 32, dtype=torch.bool)
    pixels[:, :11] = True
    found = [hide(model, image, each, Classes((0,))) for each in (half, pixels)]
    assert found[0] == found[1]
    with pytest.raises(ShapeError, match="finer than the model's input"):
        hide(model, image, torch.ones(33, 1, dtype=torch.bool), Classes((0,)))


def test_all_or_nothing_hidden_is_foretold_exactly(model: LoadedModel) -> None:
    image = torch.randn(1, 3, 32, 32)
    explained = explain(model, image, "ag_cam", 1)
    for hidden in (torch.zeros(4, 4, dtype=torch.bool), torch.ones(4, 4, dtype=torch.bool)):
        found = hide(model, image, hidden, Classes((1,)))
        assert foretold(explained.heatmap[0], hidden, found, (32, 32)) == pytest.approx(found.measured, abs=1e-6)


def test_a_map_against_its_class_foretells_nothing() -> None:
    found = Hidden((), "probability of cat", 0.9, 0.5, 0.1)
    assert foretold(torch.tensor([[1.0, -2.0]]), torch.tensor([[True, False]]), found, (8, 16)) is None
