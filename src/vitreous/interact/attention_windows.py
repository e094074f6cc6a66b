"""Attention windows, fixed and adapted to the indicator.

The abstract verifies the indicator on them; how is our own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from vitreous.errors import ShapeError
from vitreous.interact.indicator import Pairs
from vitreous.interact.responsive_fields import Fields, positions
from vitreous.masking.ties import first_of_largest
from vitreous.trace.observed import TokenGrid

__all__ = [
    "Extents",
    "adaptive_windows",
    "bounding_windows",
    "coverage",
    "dense_windows",
    "fixed_windows",
    "random_windows",
    "rectangles",
]

Extents = Int[Tensor, "*images patches 4"]
"""First row, last row, first column, last column of each query's window, all inclusive."""
_ROUNDING = 1e-6
"""Share of a sum of attention in single precision by which it may be off."""


def fixed_windows(tokens: TokenGrid, radius: int) -> Fields:
    """Keys at most `radius` rows and columns away."""
    places = positions(tokens)
    return torch.cdist(places, places, p=float("inf")) <= radius


def random_windows(density: Float[Tensor, "*images patches"], tokens: TokenGrid, seed: int) -> Fields:
    """A control: as many keys per query as this share of all, at random, and the query itself."""
    patches = tokens.height * tokens.width
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(*density.shape, patches, generator=generator)
    draw.diagonal(dim1=-2, dim2=-1).fill_(-1)  # itself first
    rank = draw.argsort(-1).argsort(-1)
    return rank < (density.cpu() * patches).round().clamp(min=1)[..., None]


def coverage(strength: Pairs, tokens: TokenGrid) -> Float[Tensor, "*images radii"]:
    """Share of the attention that fixed windows of radius 0, 1, … hold, averaged over queries."""
    places = positions(tokens).to(strength)
    distances = torch.cdist(places, places, p=float("inf"))
    radii = torch.arange(max(tokens.height, tokens.width), device=strength.device)
    inside = (distances <= radii[:, None, None]).to(strength)
    return torch.einsum("...qk,rqk->...r", strength / strength.sum((-2, -1), keepdim=True), inside)


def adaptive_windows(indicator: Pairs, tokens: TokenGrid, mass: float = 0.6) -> Extents:
    """A window per query that grows from the query itself until it holds this share of its indicator.

    Each step adds the row or column, at one of the four sides, with the most indicator per cell; the first of top,
    bottom, left, right among equals. All queries of all images grow together, on summed-area tables.

    Raises:
        ShapeError: the mass is not between 0 and 1.
    """
    if not 0 < mass <= 1:
        raise ShapeError(f"`mass` must be above 0 and at most 1; got {mass}. Give the share that windows should hold.")
    return _grown(indicator, tokens, torch.tensor(mass, dtype=torch.float64, device=indicator.device))


def dense_windows(indicator: Pairs, tokens: TokenGrid, density: float) -> Extents:
    """Adaptive windows that hold this share of all keys, on average over the queries of a block.

    Of the masses that give no larger share the largest is found, for every block of every image on its own. The query
    itself is always there.
    """
    patches = indicator.shape[-1]
    low = torch.zeros(indicator.shape[:-2], dtype=torch.float64, device=indicator.device)
    high = low + 2  # a mass above 1 takes in every key
    for _ in range(20):
        mass = (low + high) / 2
        fits = _area(_grown(indicator, tokens, mass)).double().mean(-1) <= density * patches * (1 + _ROUNDING)
        low, high = torch.where(fits, mass, low), torch.where(fits, high, mass)
    return _grown(indicator, tokens, low)


def _grown(indicator: Pairs, tokens: TokenGrid, mass: Tensor) -> Extents:
    """Windows that hold this share, one for all or per block; the query alone for 0, everything above 1."""
    height, width = tokens.height, tokens.width
    table = indicator.double().unflatten(-1, (height, width)).cumsum(-1).cumsum(-2)
    table = F.pad(table, (1, 0, 1, 0)).flatten(-2)
    places = positions(tokens).long().to(indicator.device)
    extents = places.repeat_interleave(2, 1).expand(*indicator.shape[:-1], 4)
    wanted = indicator.double().sum(-1) * mass[..., None] * (1 - _ROUNDING)  # must not make a full one grow
    sides = torch.tensor([[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 0], [0, 0, 0, 1]], device=indicator.device)
    last = torch.tensor([height, height, width, width], device=indicator.device)
    for _ in range(height + width - 2):
        held = _held(table, extents, width)
        grown = extents[..., None, :] + sides  # (…, query, side, extent)
        allowed = ((grown >= 0) & (grown < last)).all(-1)
        added = _held(table[..., None, :], grown.clamp(min=0).minimum(last - 1), width) - held[..., None]
        cells = _area(grown) - _area(extents)[..., None]
        best = first_of_largest((added / cells).where(allowed, -1))
        short = (held < wanted) & allowed.any(-1)
        extents = torch.where(short[..., None], extents + sides[best], extents)
    return extents


def bounding_windows(indicator: Pairs, tokens: TokenGrid, threshold: float = 2.0) -> Extents:
    """The bounding box of the keys whose indicator reaches the threshold, and of the query itself (our own)."""
    places = positions(tokens).long().to(indicator.device)
    inside = (indicator >= threshold * (1 - _ROUNDING)) | torch.eye(
        len(places), dtype=torch.bool, device=indicator.device
    )
    found = [
        getattr(places[:, axis].expand_as(inside).where(inside, blank), edge)(-1)
        for axis, length in enumerate((tokens.height, tokens.width))
        for edge, blank in (("amin", length), ("amax", -1))
    ]
    return torch.stack(found, -1)


def rectangles(extents: Extents, tokens: TokenGrid) -> Fields:
    """Which keys lie in each query's window."""
    row, column = positions(tokens).long().to(extents.device).T
    top, bottom, left, right = (side[..., None] for side in extents.unbind(-1))
    return (top <= row) & (row <= bottom) & (left <= column) & (column <= right)


def _held(table: Tensor, extents: Tensor, width: int) -> Tensor:
    """What lies within the extents, from a summed-area table of (height + 1) × (width + 1) numbers per query."""
    top, bottom, left, right = extents.unbind(-1)
    step = width + 1

    def at(row: Tensor, column: Tensor) -> Tensor:
        place = (row * step + column)[..., None]
        return table.expand(*place.shape[:-1], -1).gather(-1, place)[..., 0]

    return at(bottom + 1, right + 1) - at(top, right + 1) - at(bottom + 1, left) + at(top, left)


def _area(extents: Tensor) -> Tensor:
    top, bottom, left, right = extents.unbind(-1)
    return (bottom - top + 1) * (right - left + 1)
