"""A network in a wrapper, or with adapters beside its layers, has the maps of the network that it is."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

import vitreous
from tests.contract.written import LowRank
from tests.contract.zoo import CASES
from vitreous.errors import DegenerateMap

METHODS = [
    "ag_cam",
    "attcat",
    "attn_lrp",
    "generic_attention",
    "grad_cam",
    "legrad",
    "rollout",
    "transformer_attribution",
]
IMAGES = CASES["lora"].images().double()


def explain(model: nn.Module, method: str) -> Tensor:
    for target in range(7):  # the first of which a ReLU leaves something
        try:
            return vitreous.explain(model, IMAGES, method, target).heatmap
        except DegenerateMap:
            continue
    raise AssertionError("no class of this model has a map")


def merged(adapted: nn.Module) -> nn.Module:
    """The same function, its thin matrices added to the weights that they stand beside."""
    model = copy.deepcopy(adapted)
    for name, module in adapted.named_modules():
        if isinstance(module, LowRank):
            base = copy.deepcopy(module.base)
            base.weight.data += 0.5 * module.up.weight @ module.down.weight
            model.set_submodule(name, base)
    return model


@pytest.mark.parametrize("method", METHODS)
def test_adapters_and_merged_weights_have_one_map(method: str) -> None:
    model = CASES["lora"].model().double()
    torch.testing.assert_close(model(IMAGES), merged(model)(IMAGES))
    if method in ("attn_lrp", "transformer_attribution"):  # relevance is shared among what is added, in turn
        settings = (vitreous.explain(each, IMAGES, "input_x_gradient", 0).heatmap for each in (model, merged(model)))
        torch.testing.assert_close(*settings)
        return
    torch.testing.assert_close(explain(model, method), explain(merged(model), method))


@pytest.mark.parametrize("method", METHODS)
def test_a_wrapper_changes_nothing(method: str) -> None:
    model = CASES["lightning"].model().double()
    assert torch.equal(explain(model, method), explain(model.model, method))


def test_wrappers_are_explained_as_what_they_wrap(pictures: list[Path]) -> None:
    model = timm.create_model("test_vit", num_classes=3).eval()
    expected = vitreous.explain(model, pictures[:2])
    for wrapped in (torch.compile(model, backend="eager"), nn.DataParallel(model)):
        found = vitreous.explain(wrapped, pictures[:2])
        torch.testing.assert_close(found.heatmap, expected.heatmap)
        assert found.class_names == expected.class_names
