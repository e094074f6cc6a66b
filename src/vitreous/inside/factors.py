"""Signed rows as non-negative sums of a few directions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vitreous.errors import ShapeError

__all__ = ["factorize", "loadings"]

Rows = Float[Tensor, "rows channels"]
Directions = Float[Tensor, "directions channels"]
Loadings = Float[Tensor, "rows directions"]

_ROUNDS, _SWEEPS = 200, 2000
_STILL, _SETTLED = 1e-6, 1e-9
"""A change that ends the rounds, over all rows, and one that ends the sweeps, over the largest loading."""


def factorize(rows: Rows, count: int) -> tuple[Loadings, Directions]:
    """Rows ≈ loadings · directions, loadings ≥ 0: semi-non-negative matrix factorization (Ding et al., PAMI 2010).

    Directions may have either sign, as the tokens of a transformer have, so nothing is cut off. It begins at the
    sides of principal components, so the same rows give the same factors, and takes turns at what is best of one given
    the other: directions by least squares, loadings one direction at a time. Both lower ‖rows − loadings ·
    directions‖². What it ends at need not be the lowest, and other directions may make the rows as well.

    Returns:
        loadings, and directions of length 1, that which makes the most of the rows first.

    Raises:
        ShapeError: fewer rows, or channels, than directions; or the rows do not vary in as many.
    """
    if not 1 <= count <= min(rows.shape):
        raise ShapeError(
            f"`count` is {count}, and there are {rows.shape[0]} patches of {rows.shape[1]} channels. Give at least 1 "
            f"and at most {min(rows.shape)}."
        )
    found = _sides(rows, count)
    before = whole = rows.square().sum()
    for _ in range(_ROUNDS):
        directions = _fitted(found, rows)
        found = loadings(rows, directions, start=found, sweeps=1)
        left = rows - found @ directions
        for at in (found.sum(0) == 0).nonzero()[:, 0].tolist():  # begin again, with what is made worst of the others
            found[left.norm(dim=1).argmax(), at] = 1
        if before - left.square().sum() < _STILL * whole:
            break
        before = left.square().sum()
    directions = F.normalize(_fitted(found, rows), dim=1)
    found = loadings(rows, directions)
    order = found.square().sum(0).argsort(descending=True, stable=True)
    return found[:, order], directions[order]


def _fitted(found: Loadings, rows: Rows) -> Directions:
    """The directions that make the most of the rows with these loadings."""
    directions = torch.linalg.lstsq(found, rows, driver="gelsd").solution
    if not (directions.norm(dim=1) > _STILL * rows.norm()).all():
        count = found.shape[1]
        raise ShapeError(f"the patches do not vary in {count} directions. Ask for fewer concepts: count=.")
    return directions


def _sides(rows: Rows, count: int) -> Loadings:
    """The sides of principal components, what lies above zero and what lies below, that hold the most of the rows."""
    used, spread, _ = torch.linalg.svd(rows, full_matrices=False)
    sides = (torch.cat([used, -used], 1) * spread.repeat(2)).clamp(min=0)
    return sides[:, sides.norm(dim=0).argsort(descending=True, stable=True)[:count]]


def loadings(rows: Rows, directions: Directions, *, start: Loadings | None = None, sweeps: int = _SWEEPS) -> Loadings:
    """The least ‖rows − loadings · directions‖² with loadings ≥ 0, by descent along one direction after another.

    Args:
        rows: to be made of the directions.
        directions: none of length 0.
        start: where to begin; None for nothing of any.
        sweeps: over all directions, at most.
    """
    along, between = rows @ directions.mT, directions @ directions.mT
    found = torch.zeros_like(along) if start is None else start.clone()
    for _ in range(sweeps):
        moved = found.new_zeros(())
        for at, own in enumerate(between.diagonal()):
            new = (found[:, at] + (along[:, at] - found @ between[at]) / own).clamp(min=0)
            moved = torch.maximum(moved, (new - found[:, at]).abs().max())
            found[:, at] = new
        if moved <= _SETTLED * found.abs().max():
            break
    return found
