"""Where the numbers of a layer's output lie on the picture, by their shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vitreous.shapes import FeatureMaps
from vitreous.trace.observed import TokenGrid

__all__ = ["Layer", "layout"]

_MOST_EXTRA = 64
"""A row with more tokens beside the patches is taken for something else, such as channels before patches."""


@dataclass(frozen=True)
class Layer:
    """A layer whose output lies on the picture, and how.

    Attributes:
        name: dotted name of the module.
        grid: its patches; extra tokens are there only where the output is a row of tokens.
        channels: the axis of the channels: 1 in (batch, channels, h, w), -1 in (batch, h, w, channels) and
            (batch, tokens, channels).
        run: which of the module's runs in a forward pass is read, from 0.
    """

    name: str
    grid: TokenGrid
    channels: int
    run: int = 0

    def maps(self, output: Tensor) -> FeatureMaps:
        """The layer's output, or its gradient, as one map per channel."""
        if output.ndim == 3:
            return self.grid.of_patches(output, 1).mT.unflatten(-1, (self.grid.height, self.grid.width))
        return output.movedim(self.channels, 1)

    def with_maps(self, output: Tensor, maps: FeatureMaps) -> Tensor:
        """The layer's output with other maps; extra tokens stay."""
        if output.ndim == 3:
            patches = self.grid.among_tokens(maps.flatten(2).mT, 1, extra=0)
            places = self.grid.among_tokens(maps.new_ones(self.grid.patches, dtype=torch.bool), 0, extra=False)
            return torch.where(places[:, None], patches, output)
        return maps.movedim(1, self.channels)


def layout(
    shape: tuple[int, ...], size: tuple[int, int], grids: Mapping[tuple[int, int], None]
) -> tuple[TokenGrid, int] | None:
    """The grid and the channel axis of an output of this shape; None where it has no place on the picture.

    Args:
        shape: of the output, batch first.
        size: (height, width) of the picture.
        grids: (height, width) of the maps seen so far: a row of tokens lies on one of these, or on one halved.

    >>> layout((1, 512, 7, 7), (224, 224), {})
    (TokenGrid(extra=0, height=7, width=7, order=(), class_token=0), 1)
    >>> layout((1, 7, 7, 768), (224, 224), {})
    (TokenGrid(extra=0, height=7, width=7, order=(), class_token=0), -1)
    >>> layout((1, 197, 192), (224, 224), {(14, 14): None})
    (TokenGrid(extra=1, height=14, width=14, order=(), class_token=0), -1)
    """
    if len(shape) == 4:
        found = [
            (-shape[axis], TokenGrid(0, *sides), axis)
            for axis, sides in ((1, shape[2:]), (-1, shape[1:3]))
            if _same_stride(sides, size) and min(sides) * max(sides) > 1
        ]
        # a square block of numbers could be either: channels are the long axis
        return min(found, key=lambda each: each[0])[1:] if found else None
    if len(shape) != 3 or shape[2] == 1:  # one number per row is a pooled map
        return None
    tokens = shape[1]
    halved = [(-(-h // 2), -(-w // 2)) for h, w in grids]
    exact = [grid for grid in (*grids, *halved) if grid[0] * grid[1] == tokens > 1]
    loose = sorted((h * w, h, w) for h, w in grids if h * w < tokens < h * w + min(h * w, _MOST_EXTRA))
    if exact:
        return TokenGrid(0, *exact[0]), -1
    return (TokenGrid(tokens - loose[-1][0], *loose[-1][1:]), -1) if loose else None


def _same_stride(sides: tuple[int, ...], size: tuple[int, int]) -> bool:
    """Whether a grid with these sides divides the picture by one stride, up to rounding of the sides.

    >>> _same_stride((7, 7), (224, 224)), _same_stride((7, 768), (224, 224)), _same_stride((3, 5), (24, 40))
    (True, False, True)
    """
    shortest = max(length / (side + 1) for side, length in zip(sides, size, strict=True))
    longest = min(length / max(side - 1, 0.5) for side, length in zip(sides, size, strict=True))
    return shortest < longest and min(sides) > 0
