"""Relevance as autograd in another algebra, against Chefer's recursion written out block by block."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.contract.zoo import CASES
from tests.reference.relevance import slow_relevance
from tests.reference.vit import slow_vit
from vitreous.errors import RuleError
from vitreous.methods import make_method
from vitreous.relevance.composites import CHEFER
from vitreous.relevance.propagate import propagate
from vitreous.trace.observe import observe
from vitreous.trace.target import Classes

CLASS = 4


@pytest.mark.parametrize("name", ["timm_vit", "timm_vit_unfused"])
def test_relevance_of_every_attention(name: str) -> None:
    model, images = CASES[name].model().double(), CASES[name].images().double()
    with propagate(model, CHEFER):
        trace = observe(model, images)
    direction = Classes((CLASS,))(trace.logits.detach())
    relevances = trace.gradients(direction)
    torch.testing.assert_close(trace.logits.detach(), model(images).detach())
    for at in range(len(images)):
        slow = slow_relevance(model, images[at], CLASS)
        for got, expected in zip(relevances, slow, strict=True):
            assert (got[at] - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_transformer_attribution() -> None:
    model, images = CASES["timm_vit"].model().double(), CASES["timm_vit"].images(1).double()
    slow = slow_vit(model, images[0], skip_path_only=False)
    gradients = torch.autograd.grad(slow.logits[CLASS], slow.weights)
    product = torch.eye(17).double()
    for gradient, relevance in zip(gradients, slow_relevance(model, images[0], CLASS), strict=True):
        mean = sum((gradient[head] * relevance[head]).clamp(min=0) for head in range(2)) / 2
        product = (mean + torch.eye(17).double()) @ product
    got = make_method("transformer_attribution")(model, images, Classes((CLASS,))).heatmap.flatten()
    assert (got - product[0, 1:]).abs().max() <= 1e-6 * product[0, 1:].abs().max()


def test_the_model_is_as_before() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    model.head.requires_grad_(False)
    before = [p.requires_grad for p in model.parameters()]
    with pytest.raises(RuntimeError), propagate(model, CHEFER):
        model(images[:, :2])
    assert [p.requires_grad for p in model.parameters()] == before
    with torch.no_grad():
        expected = model(images)
        with propagate(model, CHEFER):
            torch.testing.assert_close(model(images), expected)


def test_an_operation_without_a_rule_is_named() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()

    class Counts(nn.Module):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return tokens.cumsum(1)

    model.blocks[1].mlp.act = Counts()
    called = r"no relevance rule for `torch.Tensor.cumsum`, called in `blocks.1.mlp.act`"
    with pytest.raises(RuleError, match=called), propagate(model, CHEFER):
        observe(model, images)
