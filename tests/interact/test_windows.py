from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.errors import ShapeError
from vitreous.interact.attention_windows import (
    adaptive_windows,
    bounding_windows,
    coverage,
    dense_windows,
    fixed_windows,
    random_windows,
    rectangles,
)
from vitreous.interact.responsive_fields import responsive_fields
from vitreous.trace.observed import TokenGrid

GRIDS = st.tuples(st.integers(1, 5), st.integers(1, 5))


def slow_window(row: list[list[float]], place: tuple[int, int], mass: float) -> tuple[int, int, int, int]:
    """One query's adaptive window, cell by cell."""
    height, width = len(row), len(row[0])
    top, bottom, left, right = place[0], place[0], place[1], place[1]
    whole = sum(map(sum, row))

    def held(t: int, b: int, x: int, y: int) -> float:
        return sum(row[r][c] for r in range(t, b + 1) for c in range(x, y + 1))

    while held(top, bottom, left, right) < whole * mass * (1 - 1e-9):
        options = []
        for grown in (
            (top - 1, bottom, left, right),
            (top, bottom + 1, left, right),
            (top, bottom, left - 1, right),
            (top, bottom, left, right + 1),
        ):
            if grown[0] >= 0 and grown[1] < height and grown[2] >= 0 and grown[3] < width:
                cells = (grown[1] - grown[0] + 1) * (grown[3] - grown[2] + 1) - (bottom - top + 1) * (right - left + 1)
                options.append(((held(*grown) - held(top, bottom, left, right)) / cells, grown))
        best = max(option[0] for option in options)
        top, bottom, left, right = next(grown for gain, grown in options if gain >= best - 1e-12)
    return top, bottom, left, right


@given(GRIDS, st.integers(0, 2**16), st.floats(0.05, 1.0))
@settings(max_examples=40)
def test_adaptive_windows_grow_as_one_would_by_hand(size: tuple[int, int], seed: int, mass: float) -> None:
    tokens = TokenGrid(1, *size)
    patches = size[0] * size[1]
    indicator = torch.rand(2, patches, patches, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    extents = adaptive_windows(indicator, tokens, mass)
    for image in range(2):
        for query in range(patches):
            row = indicator[image, query].view(size).tolist()
            assert tuple(extents[image, query].tolist()) == slow_window(row, divmod(query, size[1]), mass)


def test_adaptive_windows_are_nested_and_hold_their_patch() -> None:
    tokens, indicator = TokenGrid(1, 4, 4), torch.rand(3, 16, 16)
    small, large = (rectangles(adaptive_windows(indicator, tokens, mass), tokens) for mass in (0.3, 0.7))
    assert (small <= large).all()
    assert small.diagonal(dim1=-2, dim2=-1).all()
    with pytest.raises(ShapeError, match="`mass` must be above 0"):
        adaptive_windows(indicator, tokens, 0.0)


@pytest.mark.parametrize("size", [(3, 4), (1, 2), (1, 1)])
@pytest.mark.parametrize("density", [0.0, 0.3, 0.7])
def test_dense_windows_are_the_largest_adaptive_ones_of_a_density(size: tuple[int, int], density: float) -> None:
    tokens, patches = TokenGrid(1, *size), size[0] * size[1]
    indicator = torch.rand(2, patches, patches, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = rectangles(dense_windows(indicator, tokens, density), tokens)
    for rows, windows in zip(indicator, found, strict=True):
        best = torch.eye(patches, dtype=torch.bool)
        for mass in torch.linspace(0.01, 1, 100).tolist():
            by_hand = [slow_window(row.view(size).tolist(), divmod(at, size[1]), mass) for at, row in enumerate(rows)]
            candidate = rectangles(torch.tensor(by_hand), tokens)
            if candidate.sum() > density * patches**2:
                break
            best = candidate
        assert (best <= windows).all()
        assert windows.sum() <= max(density * patches**2, patches)


def test_windows_that_may_hold_everything_do() -> None:
    tokens = TokenGrid(1, 3, 4)
    assert rectangles(dense_windows(torch.eye(12), tokens, 1.0), tokens).all()


def test_bounding_windows_hold_what_is_strong() -> None:
    tokens = TokenGrid(0, 3, 4)
    indicator = torch.zeros(12, 12)
    indicator[5, 0] = indicator[5, 10] = 3
    extents = bounding_windows(indicator, tokens)
    assert extents[5].tolist() == [0, 2, 0, 2]
    assert extents[0].tolist() == [0, 0, 0, 0]


@given(GRIDS, st.integers(0, 2**16), st.floats(0.05, 0.95))
@settings(max_examples=30)
def test_fields_are_the_smallest_sets_that_hold_the_mass(size: tuple[int, int], seed: int, mass: float) -> None:
    tokens = TokenGrid(1, *size)
    patches = size[0] * size[1]
    indicator = torch.rand(patches, patches, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    fields = responsive_fields(indicator, tokens, mass)
    for query in range(patches):
        values = sorted(indicator[query].tolist(), reverse=True)
        total, need = sum(values), 0
        while sum(values[:need]) < total * (mass - 1e-6):
            need += 1
        top = set(indicator[query].argsort(descending=True)[:need].tolist())
        assert set(fields[query].nonzero().flatten().tolist()) == top | {query}


def test_fixed_windows_and_their_coverage() -> None:
    tokens = TokenGrid(1, 3, 5)
    assert fixed_windows(tokens, 0).equal(torch.eye(15, dtype=torch.bool))
    assert fixed_windows(tokens, 4).all()
    held = coverage(torch.ones(2, 15, 15), tokens)
    assert held.shape == (2, 5)
    torch.testing.assert_close(held[0, 1], fixed_windows(tokens, 1).float().mean())
    torch.testing.assert_close(held[:, -1], torch.ones(2))


def test_random_windows_keep_as_many() -> None:
    tokens = TokenGrid(1, 4, 4)
    windows = random_windows(torch.full((2, 16), 0.25), tokens, seed=0)
    assert (windows.sum(-1) == 4).all()
    assert windows.diagonal(dim1=-2, dim2=-1).all()
    assert torch.equal(windows, random_windows(torch.full((2, 16), 0.25), tokens, seed=0))
