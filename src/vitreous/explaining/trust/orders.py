"""Orders of a picture's patches: those of maps, and random ones; what each hides; and how two maps agree."""

from __future__ import annotations

from math import isnan

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vitreous.masking.patches import refine
from vitreous.metrics.bands import Bands
from vitreous.metrics.perturbation import bands_of
from vitreous.metrics.stability import rank_correlation
from vitreous.render.overlay import upsample

__all__ = [
    "Grid",
    "hidden_counts",
    "hidden_patches",
    "order_of",
    "patch_values",
    "pearson",
    "random_orders",
    "spearman",
]

Grid = tuple[int, int]
Order = Int[Tensor, " patches"]
"""All patches, numbered row by row, in the order in which they are hidden."""


def patch_values(
    heatmap: Float[Tensor, "h w"], grid: Grid, size: tuple[int, int], *, blocks: bool = False
) -> Float[Tensor, " patches"]:
    """A map's value on each patch, row by row, in double precision.

    A map on the same grid is taken as it is; another is enlarged to the picture, edge to edge, and averaged over each
    patch.

    Args:
        heatmap: raw.
        grid: (height, width) in patches.
        size: (height, width) of the picture in pixels.
        blocks: each number of the map fills its block; else it is enlarged bilinearly.
    """
    wide = heatmap.detach().double().cpu()
    if tuple(wide.shape) != grid:
        large = F.interpolate(wide[None, None], size, mode="nearest-exact")[0, 0] if blocks else upsample(wide, size)
        wide = F.adaptive_avg_pool2d(large[None], grid)[0]
        # patches of one value are equal, as rounding would put them in an order of its own
        most = wide.abs().amax().clamp(min=torch.finfo(wide.dtype).tiny)
        wide = (wide / most).float().double() * most
    return wide.flatten()


def order_of(values: Float[Tensor, " patches"]) -> Order:
    """The patches from the highest value to the lowest; equal ones row by row.

    >>> order_of(torch.tensor([1.0, 3.0, 3.0]))
    tensor([1, 2, 0])
    """
    return values.argsort(descending=True, stable=True)


def random_orders(count: int, patches: int, seed: int) -> list[Order]:
    """So many random orders."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randperm(patches, generator=generator) for _ in range(count)]


def hidden_counts(patches: int, steps: int) -> list[int]:
    """How many patches are hidden after each step, from none to all: ⌊patches · step / steps⌋.

    >>> hidden_counts(10, 4)
    [0, 2, 5, 7, 10]
    """
    return [high for _, high in bands_of("morf", patches, steps, steps)]


def hidden_patches(order: Order, steps: int, grid: Grid, size: tuple[int, int]) -> Bool[Tensor, "masks h w"]:
    """What is hidden between the first step and the last: first along the order, then along its reverse.

    On the grid where it tiles the picture; else on the picture's pixels.
    """
    rank = torch.empty_like(order).scatter(0, order, torch.arange(len(order))).reshape(grid)
    bands = [band for way in ("morf", "lerf") for band in bands_of(way, len(order), steps, steps)[1:-1]]
    low, high = torch.tensor(bands, dtype=torch.long).reshape(-1, 2).T
    masks = Bands(rank, low, high)[:]
    return masks if all(side % rows == 0 for side, rows in zip(size, grid, strict=True)) else refine(masks, size)


def spearman(one: Float[Tensor, " patches"], other: Float[Tensor, " patches"]) -> float | None:
    """Spearman's rank correlation, equal values at the mean of their ranks; None where one of them is constant.

    >>> round(spearman(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([1.0, 9.0, 8.0, 99.0])), 9)
    0.8
    """
    found = rank_correlation(one[None], other[None]).item()
    return None if isnan(found) else _bounded(found)


def pearson(one: Float[Tensor, " patches"], other: Float[Tensor, " patches"]) -> float | None:
    """The correlation of two rows of numbers; None where one of them is constant."""
    a, b = (each.double() - each.double().mean() for each in (one, other))
    size = a.norm() * b.norm()
    return None if not size else _bounded((a @ b / size).item())


def _bounded(correlation: float) -> float:
    """Without what rounding adds."""
    return min(1.0, max(-1.0, correlation))
