"""Patches that are used alike stay alike: rounding chooses no key, no side of a window and no patch to go."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vitreous.interact.attention_windows import adaptive_windows, bounding_windows, dense_windows
from vitreous.interact.responsive_fields import responsive_fields
from vitreous.interact.use import kept_patches
from vitreous.masking.ties import first_of_largest, levels
from vitreous.trace.observed import TokenGrid

GRID = TokenGrid(0, 5, 5)
SEEDS = range(5)


def rounded(values: Tensor, seed: int) -> Tensor:
    """As another kernel would give them."""
    noise = torch.rand(values.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (values.double() * (1 + 2e-7 * (noise - 0.5))).float()


def uneven() -> Tensor:
    """A few values, each at many keys."""
    drawn = torch.randint(1, 4, (25, 25), generator=torch.Generator().manual_seed(1))
    return drawn / 4.0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("indicator", [torch.ones(25, 25), uneven()])
def test_windows_and_fields_do_not_hang_on_rounding(indicator: Tensor, seed: int) -> None:
    other = rounded(indicator, seed)
    for mass in (0.25, 0.5, 0.75, 1.0):
        assert torch.equal(responsive_fields(indicator, GRID, mass), responsive_fields(other, GRID, mass))
        assert torch.equal(adaptive_windows(indicator, GRID, mass), adaptive_windows(other, GRID, mass))
    assert torch.equal(dense_windows(indicator, GRID, 0.36), dense_windows(other, GRID, 0.36))
    assert torch.equal(bounding_windows(indicator, GRID, 0.5), bounding_windows(other, GRID, 0.5))


@pytest.mark.parametrize("seed", SEEDS)
def test_patches_used_alike_leave_row_by_row(seed: int) -> None:
    score = uneven()[:5]
    assert torch.equal(kept_patches(score, 0.4), kept_patches(rounded(score, seed), 0.4))


@pytest.mark.parametrize("seed", SEEDS)
def test_levels_are_ranks_of_different_numbers(seed: int) -> None:
    values = torch.tensor([0.3, 0.1, 0.3, 0.7, 0.1, -2.0, 0.0])
    assert levels(rounded(values, seed)).tolist() == [3, 2, 3, 4, 2, 0, 1]
    assert first_of_largest(rounded(values.abs().clamp(max=0.3), seed)) == 0
    faint = torch.tensor([1.0, 1e-30, 2e-30])
    assert levels(faint).tolist() == [2, 0, 1], "small numbers differ too"
