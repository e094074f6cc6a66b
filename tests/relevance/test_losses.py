"""Relevance that a convolution can hand to nobody is measured, and most of it told."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

import vitreous
from vitreous.errors import ExplainWarning
from vitreous.relevance.composites import chefer
from vitreous.relevance.losses import Losses
from vitreous.relevance.propagate import propagate


class Depthwise(nn.Module):
    """What a convolution sees is above zero; of its channels, each of one, so many have weights below."""

    def __init__(self, below: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1, groups=8, bias=False)
        self.norm, self.head = nn.BatchNorm2d(8), nn.Linear(8, 3)
        with torch.no_grad():
            self.second.weight.copy_(torch.tensor([-1.0] * below + [1.0] * (8 - below)).view(8, 1, 1, 1))
            self.norm.bias.fill_(9)
            self.head.weight.fill_(1)

    def forward(self, images: Tensor) -> Tensor:
        x = self.first(images).sigmoid()
        return self.head(self.norm(self.second(x)).mean((2, 3)))


def depthwise(below: int) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    return Depthwise(below).double().eval(), torch.randn(2, 3, 8, 8).double()


def lost(model: nn.Module, images: Tensor) -> tuple[float, Tensor]:
    """As measured, and by what was put in (one) less what comes out (by image)."""
    losses, leaf = Losses(len(images)), images.clone().requires_grad_()
    with propagate(model, losses.watching(chefer())):
        scores = model(leaf)
    (left,) = torch.autograd.grad(scores[:, 1].sum(), leaf)
    return losses.share, 1 - left.flatten(1).sum(1)


def test_what_is_lost_is_what_was_put_in_less_what_comes_out() -> None:
    model, images = depthwise(3)
    share, each = lost(model, images[:1])
    assert share == pytest.approx(each.item(), abs=1e-6)
    assert 0.1 < share < 0.6


def test_the_image_of_which_most_is_lost_is_not_hidden_by_others() -> None:
    model, images = depthwise(3)
    share, each = lost(model, torch.cat([images, images[:1]]))
    assert each.max() - each.min() > 1e-4
    assert share == pytest.approx(each.max().item(), abs=1e-6)


def test_most_of_it_lost_is_told_with_how_much_and_what_to_do() -> None:
    model, images = depthwise(7)
    with pytest.warns(ExplainWarning, match=r"lost 0\.\d+ times .* `Depthwise`.*`attn_lrp`"):
        vitreous.explain(model, images, "lrp", 1)


@pytest.mark.parametrize("below", [0, 3])
def test_less_of_it_is_taken(below: int) -> None:
    model, images = depthwise(below)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ExplainWarning)
        vitreous.explain(model, images, "lrp", 1)


def test_of_no_convolution_nothing_is_lost() -> None:
    assert Losses(2).share == 0
