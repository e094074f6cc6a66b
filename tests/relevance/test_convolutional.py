"""Chefer's rules on convolutional networks: batch norms as if folded into their convolutions, pooling, differences."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import vitreous
from vitreous.relevance.composites import chefer
from vitreous.relevance.propagate import propagate
from vitreous.relevance.rules import EPSILON

CLASS = 2


class Small(nn.Module):
    """Two convolutions with batch norms, a skip connection, and both kinds of pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm1 = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.second, self.norm2 = nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 4)

    def forward(self, images: Tensor) -> Tensor:
        x = F.max_pool2d(self.norm1(self.first(images)).relu(), 2)
        x = x + self.norm2(self.second(x)).relu()
        return self.head(F.avg_pool2d(x, 2).mean((2, 3)))


def networks(lowest: float) -> tuple[nn.Module, nn.Module, Tensor]:
    """With norms, and with the norms folded away; scales of the channels from so much up."""
    torch.manual_seed(0)
    model = Small()
    for norm in (model.norm1, model.norm2):
        nn.init.uniform_(norm.weight, lowest, 2)
        nn.init.normal_(norm.bias)
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    model = model.double().eval()
    folded = Small().double().eval()
    folded.head = model.head
    folded.first, folded.second = (
        fuse_conv_bn_eval(conv, norm) for conv, norm in ((model.first, model.norm1), (model.second, model.norm2))
    )
    folded.norm1 = folded.norm2 = nn.Identity()
    return model, folded, torch.randn(2, 3, 8, 8).double()


@pytest.mark.parametrize("rules", ["ours", "orig"])
def test_a_norm_is_as_if_folded_into_its_convolution(rules: str) -> None:
    model, folded, images = networks(0.1)
    torch.testing.assert_close(model(images), folded(images))
    maps = [vitreous.explain(each, images, "lrp", CLASS, rules=rules).heatmap for each in (model, folded)]
    torch.testing.assert_close(*maps)


def test_a_scale_below_zero_turns_what_counts_as_positive() -> None:
    model, folded, images = networks(-2.0)
    maps = [vitreous.explain(each, images, "lrp", CLASS).heatmap for each in (model, folded)]
    assert not torch.allclose(*maps)


def test_nothing_is_lost_or_made() -> None:
    model, _, images = networks(0.1)
    total = vitreous.explain(model, images, "lrp", CLASS).heatmap.sum((1, 2))
    torch.testing.assert_close(total, torch.ones(2).double(), rtol=1e-6, atol=0)


def relevance_of(operation: nn.Module, x: Tensor, relevance: Tensor, rules: str = "ours") -> Tensor:
    x = x.clone().requires_grad_()
    with propagate(nn.Identity(), chefer(rules)):  # type: ignore[arg-type]
        result = operation(x)
    return torch.autograd.grad(result, x, relevance)[0]


@pytest.mark.parametrize("kind", ["average", "largest"])
def test_windows_share_what_they_get(kind: str) -> None:
    x, relevance = torch.randn(1, 2, 4, 6).double(), torch.randn(1, 2, 2, 3).double()
    pool = nn.AvgPool2d(2) if kind == "average" else nn.MaxPool2d(2)
    got, expected = relevance_of(pool, x, relevance), torch.zeros_like(x)
    for channel, row, column in torch.cartesian_prod(*(torch.arange(n) for n in relevance.shape[1:])).tolist():
        window = x[0, channel, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        part = window if kind == "average" else window * (window == window.max())
        share = part / (part.sum() + (4 if kind == "average" else 1) * EPSILON)
        expected[0, channel, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2] = (
            share * relevance[0, channel, row, column]
        )
    torch.testing.assert_close(got, expected)


class Complement(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 1 - x


@pytest.mark.parametrize("rules", ["ours", "orig"])
def test_a_difference_is_the_sum_of_one_and_the_other_negated(rules: str) -> None:
    x, relevance = torch.randn(2, 2, 5).double()
    mixed = torch.eye(5).double() + 0.1

    class Both(nn.Module):
        def __init__(self, negated: bool) -> None:
            super().__init__()
            self.negated = negated

        def forward(self, x: Tensor) -> Tensor:
            twice = F.linear(x, mixed)
            return twice + -x if self.negated else twice - x

    sums, differences = (relevance_of(Both(negated), x, relevance, rules) for negated in (True, False))
    torch.testing.assert_close(differences, sums)


def test_what_is_taken_from_a_number_has_its_share_of_the_difference() -> None:
    x, relevance = torch.randn(2, 2, 5).double()
    expected = -x * relevance / (1 - x + EPSILON)
    torch.testing.assert_close(relevance_of(Complement(), x, relevance, "orig"), expected)
