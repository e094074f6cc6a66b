"""A color for each patch."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from PIL import Image

__all__ = ["draw_colors"]


def draw_colors(colors: Float[np.ndarray, "h w 3"], size: tuple[int, int]) -> Image.Image:
    """Red, green and blue of each patch, from 0 to 1, each filling its patch of a picture of (width, height)."""
    drawn = Image.fromarray(np.rint(255 * colors).astype(np.uint8))
    return drawn.resize(size, Image.Resampling.NEAREST)
