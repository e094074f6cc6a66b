from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vitreous.models.salg.regions import find_regions, segment


def features(seed: int, rows: int, columns: int, window: int = 7) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, rows * window, columns * window, 5, generator=generator)


def slow_segment(image: Tensor, window: int, margin: int, valid: Tensor) -> Tensor:
    """Equation 1, pixel by pixel."""
    height, width, _ = image.shape
    rows, columns = height // window, width // window
    means: dict[tuple[int, int], Tensor] = {}
    for row in range(rows):
        for column in range(columns):
            inside = (slice(row * window, (row + 1) * window), slice(column * window, (column + 1) * window))
            if valid[inside].any():
                means[row, column] = image[inside][valid[inside]].mean(0)
    index = torch.empty(height, width, dtype=torch.long)
    for y in range(height):
        for x in range(width):
            own = (y // window, x // window)
            best, found = None, own
            covering = [own] + [
                (row, column)
                for row, column in means
                if (row, column) != own
                and row * window - margin <= y < (row + 1) * window + margin
                and column * window - margin <= x < (column + 1) * window + margin
            ]
            for place in covering:
                mean = means.get(place, torch.zeros_like(image[0, 0]))
                similar = F.cosine_similarity(image[y, x], mean, dim=0).item()
                if best is None or similar > best + 1e-6:
                    best, found = similar, place
            index[y, x] = found[0] * columns + found[1]
    return index


@given(st.integers(0, 2**16), st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.booleans())
@settings(max_examples=15)
def test_segment_is_the_equation_pixel_by_pixel(seed: int, rows: int, columns: int, margin: int, padded: bool) -> None:
    images = features(seed, rows, columns)
    valid = torch.ones(images.shape[1:3], dtype=torch.bool)
    if padded:
        valid[-3:], valid[:, -8:] = False, False
    valid[0, 0] = True
    index = segment(images, 7, margin, valid if padded else None)
    for image, found in zip(images, index, strict=True):
        assert torch.equal(found[valid], slow_segment(image, 7, margin, valid)[valid])


def test_no_margin_gives_the_windows() -> None:
    index = segment(features(0, 2, 3), 7, 0)
    assert torch.equal(index[0, ::7, ::7], torch.arange(6).view(2, 3))
    assert (
        index.unflatten(2, (3, 7)).unflatten(1, (2, 7)).flatten(2, 2).amax((2, 4)) == torch.arange(6).view(2, 3)
    ).all()


def test_scale_does_not_matter_and_no_gradient_flows() -> None:
    images = features(1, 2, 2).requires_grad_()
    assert torch.equal(segment(images, 7, 1), segment(images * 37, 7, 1))
    assert not segment(images, 7, 1).requires_grad


def test_near_ties_go_to_the_own_window_then_row_by_row() -> None:
    flat = torch.ones(1, 21, 21, 5) + 1e-7 * torch.randn(1, 21, 21, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(segment(flat, 7, 2), segment(flat, 7, 0))
    flat[:, 7:14, 7:14, 0] = -9
    flat[:, 7, 7] = 1
    assert segment(flat, 7, 2)[0, 7, 7] == 0


def test_autocast_changes_nothing() -> None:
    images = features(2, 2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(segment(images, 7, 2), segment(images, 7, 2))
        low = segment(images, 7, 2)
    assert torch.equal(low, segment(images, 7, 2))


@pytest.mark.parametrize("agr", [True, False])
def test_every_token_has_one_place_among_its_region(agr: bool) -> None:
    regions = find_regions(features(3, 5, 7), 7, 2, agr=agr)
    assert len(regions.groups) > 1, "the case should have more regions than one group holds"
    at = [
        (group, row, slot)
        for group in regions.groups
        for row, slots in enumerate(group.tokens)
        for slot in range(len(slots))
    ]
    per_image = regions.place.shape[1]
    found: dict[tuple[int, int], set[int]] = {}
    for token, place in enumerate(regions.place.flatten().tolist()):
        group, row, slot = at[place]
        assert group.tokens[row, slot] == token
        image, within = divmod(token, per_image)
        region = int(regions.index[image].flatten()[within]) if within < 35 * 49 else within - 35 * 49
        keys = group.tokens[row, group.pairs[row, slot] > 0].tolist()
        found.setdefault((image, region), set(keys)).discard(token)
        assert token in keys
    assert not any(found.values())
