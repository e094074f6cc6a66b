"""Norms and outliers against loops; a patch that was made an artifact is found, and no other."""

from __future__ import annotations

import math
from statistics import median_low

import pytest
import torch

import vitreous
from tests.contract.zoo import CASES
from tests.inside.test_similarity import block_input
from vitreous.errors import NoGlobalAttention, NotFinite, ShapeError
from vitreous.inside.artifacts import Artifacts


def test_norms_are_those_of_the_tokens_after_each_block() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images(3)
    found = vitreous.artifacts(model, images, batch_size=2)
    assert found.blocks == tuple(f"blocks.{at}" for at in range(len(model.blocks)))
    for image in range(3):
        for block in range(len(model.blocks)):
            for patch, token in enumerate(block_input(model, images[image], block + 1)[1:]):
                expected = math.sqrt(sum(number.item() ** 2 for number in token))
                row, column = divmod(patch, 4)
                assert found.norms[image, block, row, column].item() == pytest.approx(expected, rel=1e-4)


def test_outliers_are_counted_patch_by_patch() -> None:
    norms = torch.rand(2, 3, 4, 5) + 0.5
    norms[0, 2, 1, 1] = 9
    norms[1, 2, 3, 4] = 8
    norms[1, 1, 0, 0] = 7
    found, counted = Artifacts(norms, ("a", "b", "c"), 3.0), [0, 0, 0]
    for image in range(2):
        for block in range(3):
            middle = median_low(norms[image, block].flatten().tolist())
            for row in range(4):
                for column in range(5):
                    expected = norms[image, block, row, column].item() > 3 * middle
                    assert found.outliers[image, block, row, column].item() == expected
                    counted[block] += expected
    assert counted == [0, 1, 2]
    assert found.share.tolist() == [count / 40 for count in counted]
    assert found.score == 2 / 40


def test_a_patch_that_was_made_long_is_found() -> None:
    model, images = CASES["timm_dinov2_registers"].model(), CASES["timm_dinov2_registers"].images(2)
    before = vitreous.artifacts(model, images)
    height, width = before.norms.shape[2:]
    at = width + 1
    with torch.no_grad():  # what is added at the start stays in the sum that the blocks add to
        extra = model.pos_embed.shape[1] - height * width
        model.pos_embed[0, extra + at] += 1000 * torch.linspace(-1, 1, model.pos_embed.shape[2])
    found = vitreous.artifacts(model, images)
    assert before.score == 0
    assert found.outliers[:, -1].flatten(1).nonzero().tolist() == [[0, at], [1, at]]
    assert found.score == 1 / (height * width)


def test_what_has_no_norms_is_refused() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    with pytest.raises(ShapeError, match="`times` is 1"):
        vitreous.artifacts(model, images, times=1)
    with pytest.raises(ShapeError, match="`batch_size`"):
        vitreous.artifacts(model, images, batch_size=0)
    with pytest.raises(NoGlobalAttention):
        vitreous.artifacts(CASES["timm_swin"].model(), CASES["timm_swin"].images())
    with torch.no_grad():
        model.blocks[1].mlp.fc2.bias.fill_(torch.inf)
    with pytest.raises(NotFinite):
        vitreous.artifacts(model, images)
