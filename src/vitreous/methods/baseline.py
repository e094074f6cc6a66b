"""What the baselines share. They ask the model for nothing but its class scores and its grid."""

from __future__ import annotations

from torch import nn

from vitreous.methods.method import check_at_least
from vitreous.shapes import Images, Logits
from vitreous.trace.recorder import record

__all__ = ["look"]

_GRID = (14, 14)


def look(model: nn.Module, images: Images, grid: int | None) -> tuple[Logits, tuple[int, int]]:
    """The class scores, and the (height, width) of the map: as set, or of the model's patches, or 14×14."""
    if grid is not None:
        check_at_least("grid", grid, 2)
    seen = record(model, images)
    return seen.logits, (seen.grid or _GRID) if grid is None else (grid, grid)
