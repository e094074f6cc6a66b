"""Choices inside methods that no rounding may turn: what is merged, which center is nearest, which side is up."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.contract.zoo import CASES
from vitreous.methods.eigen_cam import eigen_cam
from vitreous.methods.tis import TIS, k_means
from vitreous.methods.vit_cx import cluster_masks, complete_linkage


def test_maps_of_one_shape_are_no_distance_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scaled, they differ by rounding; merged or not at a distance that small is not for rounding to say."""
    seen: list[Tensor] = []

    def watched(apart: Tensor, threshold: float) -> Tensor:
        seen.append(apart)
        return complete_linkage(apart, threshold)

    monkeypatch.setattr("vitreous.methods.vit_cx.complete_linkage", watched)
    shapes = torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    maps = (shapes * torch.tensor([1.0, 2.0, 4.0])[None, :, None, None]).flatten(0, 1)
    assert len(cluster_masks(maps, (61, 61), 1e-12)) == 3
    assert torch.equal(seen[0], seen[0].T)
    for start in (0, 3, 6):
        assert seen[0][start : start + 3].unique(dim=0).shape[0] == 1


def test_halves_of_tis_are_chosen_in_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[torch.dtype] = []

    def watched(points: Tensor, count: int, seed: int) -> Tensor:
        seen.append(points.dtype)
        return k_means(points, count, seed)

    monkeypatch.setattr("vitreous.methods.tis.k_means", watched)
    TIS(masks=4)(CASES["timm_vit"].model(), CASES["timm_vit"].images())
    assert set(seen) == {torch.float64}


def test_the_sign_of_a_map_with_two_equal_sides_is_the_first_sides() -> None:
    maps = torch.tensor([[[[1.0, 0.3], [0.2, -1.0]]]])
    for size in (1 - 1e-7, 1.0, 1 + 2e-7):
        turned = maps.clone()
        turned[..., 1, 1] *= size
        assert eigen_cam(turned)[0, 0, 0] > 0
