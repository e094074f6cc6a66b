"""Linear CKA against the unbiased estimate of HSIC written with matrices of rows × rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from torch import Tensor

import vitreous
from tests.contract.written import Ordered
from tests.contract.zoo import CASES
from tests.inside.test_similarity import block_input
from tests.tiny import noise
from vitreous.errors import NoGlobalAttention, ShapeError
from vitreous.inside.kinship import linear_cka
from vitreous.models.preprocess import Preprocess


def slow_hsic(one: np.ndarray, other: np.ndarray) -> float:
    """Song et al.: (tr(K̃L̃) + 1ᵀK̃1·1ᵀL̃1/((n−1)(n−2)) − 2/(n−2)·1ᵀK̃L̃1) / (n(n−3)), the diagonals of K̃ and L̃ zero."""
    n = len(one)
    k, m = np.zeros((n, n)), np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i != j:
                k[i, j], m[i, j] = one[i] @ one[j], other[i] @ other[j]
    ones = np.ones(n)
    both = k @ m
    total = np.trace(both) + ones @ k @ ones * (ones @ m @ ones) / ((n - 1) * (n - 2))
    return (total - 2 / (n - 2) * (ones @ both @ ones)) / (n * (n - 3))


def slow_cka(one: np.ndarray, other: np.ndarray) -> float:
    return slow_hsic(one, other) / (slow_hsic(one, one) * slow_hsic(other, other)) ** 0.5


def rows(model: torch.nn.Module, images: Tensor, block: int) -> np.ndarray:
    return torch.cat([block_input(model, image, block + 1)[1:] for image in images]).double().numpy()


def test_blocks_of_one_model_and_of_two() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images(2)
    other = CASES["timm_deit_distilled"].model()
    found = vitreous.cka(model, images, batch_size=1)
    assert found.rows == 32
    for i in range(len(model.blocks)):
        for j in range(len(model.blocks)):
            expected = slow_cka(rows(model, images, i), rows(model, images, j))
            assert found.values[i, j].item() == pytest.approx(expected, rel=1e-3, abs=1e-5)
    between = vitreous.cka(model, images, other)
    there = vitreous.cka(other, images, model)
    torch.testing.assert_close(between.values, there.values.mT)
    assert between.others == tuple(f"blocks.{at}" for at in range(len(other.blocks)))


def test_it_is_one_for_what_was_turned_shifted_and_scaled_and_zero_for_what_is_unrelated() -> None:
    one, unrelated = torch.randn(200, 50), torch.randn(200, 50)
    turned = 3 * one @ torch.linalg.qr(torch.randn(50, 50)).Q + torch.randn(50)
    assert linear_cka(one, turned).item() == pytest.approx(1, abs=1e-5)
    assert abs(linear_cka(one, unrelated).item()) < 0.03


def test_what_cannot_be_compared_is_refused() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images(2)
    with pytest.raises(NoGlobalAttention):
        vitreous.cka(CASES["timm_swin"].model(), images)
    coarse = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=16, embed_dim=12, depth=2, num_heads=2)
    with pytest.raises(ShapeError, match="4×4 patches and `VisionTransformer` 2×2"):
        vitreous.cka(model, images, coarse)
    still = Ordered().eval()
    still.encoder.layers[2].norm_first = False
    with torch.no_grad():
        still.encoder.layers[2].norm2.weight.zero_()
    with pytest.raises(ShapeError, match="all 32 patches are the same"):
        vitreous.cka(still, images)


def test_models_that_see_other_parts_of_a_picture_are_refused(model: vitreous.LoadedModel) -> None:
    picture = noise(0, (60, 40))
    whole = replace(model, preprocess=Preprocess((32, 32), (32, 32)))
    assert vitreous.cka(model, picture, model).rows == 16
    with pytest.raises(ShapeError, match="left, top"):
        vitreous.cka(model, picture, whole)
