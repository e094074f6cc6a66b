"""Numbers to colours."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8

from vitreous.errors import ShapeError

__all__ = ["PALETTES", "Palette", "colorize"]

Palette = Literal["sequential", "diverging"]

PALETTES: dict[Palette, tuple[str, ...]] = {
    # lightness rises throughout, so the order survives printing in grey
    "sequential": ("#130f2e", "#45167a", "#8f1c8a", "#d6336c", "#f76c3c", "#fdb53a", "#fdf6b2"),
    # blue against orange, which no kind of color blindness confuses; both darken away from the middle
    "diverging": ("#08306b", "#1c6cb1", "#7fb8dc", "#f4f4f2", "#fdb873", "#e0620d", "#7f2704"),
}
"""Evenly spaced from low to high."""
_STEPS = 256


def colorize(values: Float[np.ndarray, "h w"], palette: Palette = "sequential") -> UInt8[np.ndarray, "h w 3"]:
    """The color of every value.

    Args:
        values: from 0 to 1.
        palette: "sequential" runs from dark indigo at 0, over crimson and orange, to pale yellow at 1; "diverging" from
            blue, over next to white at ½, to orange.

    Raises:
        ShapeError: a value is outside [0, 1] or NaN.

    >>> colorize(np.array([[0.0, 1.0]]))
    array([[[ 19,  15,  46],
            [253, 246, 178]]], dtype=uint8)
    """
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 1):
        raise ShapeError(f"`values` must lie in [0, 1]; got {low:g} … {high:g}. Normalize them first.")
    return np.take(_TABLES[palette], np.rint(values * (_STEPS - 1)).astype(np.intp), axis=0)


def _table(colors: tuple[str, ...]) -> UInt8[np.ndarray, "steps 3"]:
    """The anchors, joined by straight lines in sRGB."""
    anchors = np.array([list(bytes.fromhex(anchor[1:])) for anchor in colors])
    at, steps = np.linspace(0, 1, len(anchors)), np.linspace(0, 1, _STEPS)
    channels = [np.interp(steps, at, anchors[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=1)).astype(np.uint8)


_TABLES = {palette: _table(colors) for palette, colors in PALETTES.items()}
