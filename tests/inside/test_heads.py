"""Attention distance and entropy of every head against loops over the equations."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import vitreous
from tests.contract.zoo import CASES
from vitreous.errors import NoGlobalAttention


def slow_heads(weights: Tensor, grid: tuple[int, int], extra: int) -> tuple[float, float, float]:
    """Of one head's (tokens, tokens) weights: distance, entropy and what goes to extra tokens, a patch at a time."""
    height, width = grid
    apart, even, beyond = 0.0, 0.0, 0.0
    for i in range(height * width):
        row = weights[extra + i].tolist()
        to_patches = row[extra:]
        moved = sum(
            share * math.hypot(i // width - j // width, i % width - j % width) for j, share in enumerate(to_patches)
        )
        apart += moved / sum(to_patches)
        even -= sum(share * math.log(share) for share in row if share > 0)
        beyond += sum(row[:extra])
    count = height * width
    return apart / count, even / count, beyond / count


@pytest.mark.parametrize(("name", "extra"), [("timm_vit_wide", 1), ("timm_siglip", 0), ("hf_vit_eager", 1)])
def test_heads_one_by_one(name: str, extra: int) -> None:
    model, images = CASES[name].model(), CASES[name].images(2)
    found = vitreous.heads(model, images, batch_size=1)
    attentions = vitreous.observe(model, images).global_attentions
    assert found.distance.shape[:2] == (2, len(attentions))
    for image in range(2):
        for at, attention in enumerate(attentions):
            for head, weights in enumerate(attention.weights[image].detach()):
                got = [each[image, at, head].item() for each in (found.distance, found.entropy, found.to_extra)]
                assert got == pytest.approx(slow_heads(weights, found.grid, extra), rel=1e-4, abs=1e-6)


def test_a_model_without_a_classifier_has_heads() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = CASES["timm_vit"].model()

        def forward(self, images: Tensor) -> Tensor:
            return self.model.forward_features(images)  # type: ignore[operator]

    images = CASES["timm_vit"].images(1)
    whole = vitreous.heads(CASES["timm_vit"].model(), images)
    torch.testing.assert_close(vitreous.heads(Bare().eval(), images).entropy, whole.entropy)


def test_windows_are_refused() -> None:
    with pytest.raises(NoGlobalAttention):
        vitreous.heads(CASES["timm_swin"].model(), CASES["timm_swin"].images(1))
