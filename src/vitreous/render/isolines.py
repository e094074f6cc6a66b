"""A heat map as lines of equal value: they hide next to nothing of the picture."""

from __future__ import annotations

from math import ceil

import numpy as np
from PIL import Image, ImageFilter
from torch import Tensor

from vitreous.render.colormap import colorize
from vitreous.render.overlay import Scale, upsample

__all__ = ["LEVELS", "draw_isolines"]

LEVELS = (0.2, 0.4, 0.6, 0.8)
"""Where lines run: shares of the way from the weakest value to the strongest; of two sides, from zero to either end."""
_CASING = (22, 24, 29)
_SMALL = 1024
"""Pictures up to so many pixels long are drawn twice as large, so that lines have smooth edges."""


def draw_isolines(picture: Image.Image, heatmap: Tensor, scale: Scale, *, blocks: bool = False) -> Image.Image:
    """The picture with lines where the map crosses `LEVELS`, in the colors of the scale, edge to edge.

    Args:
        picture: RGB, exactly the part that the model saw.
        heatmap: (h, w), raw.
        scale: of the colors.
        blocks: the map is of whole blocks, which keep their edges.
    """
    finer = 2 if max(picture.size) <= _SMALL else 1
    size = (finer * picture.height, finer * picture.width)
    places = scale.of_values(upsample(heatmap.detach(), size, blocks=blocks))
    levels = np.array(LEVELS if not scale.signed else sorted((1 + side * at) / 2 for at in LEVELS for side in (-1, 1)))
    line = finer * ceil(max(picture.size) / 300)
    crossed = _thick(_crossings(places, levels), line)
    colors = np.concatenate([[_CASING], colorize(levels[None], scale.palette)[0]]).astype(np.uint8)
    around = np.asarray(_thick(crossed, line)) > 0
    layers = Image.fromarray(colors[np.asarray(crossed)]), Image.fromarray(np.where(around, 255, 0).astype(np.uint8))
    lines, opacity = (layer.reduce(finer) for layer in layers)
    return Image.composite(lines, picture, opacity)


def _crossings(places: np.ndarray, levels: np.ndarray) -> Image.Image:
    """Per pixel, which level lies between it and the next one to the right or below, from 1; 0 for none."""
    bands = np.digitize(places, levels).astype(np.uint8)
    crossed = np.zeros_like(bands)
    for one, other, where in (
        (bands[:, :-1], bands[:, 1:], crossed[:, :-1]),
        (bands[:-1], bands[1:], crossed[:-1]),
    ):
        np.maximum(where, np.where(one != other, np.maximum(one, other), 0), out=where)
    return Image.fromarray(crossed)


def _thick(crossed: Image.Image, line: int) -> Image.Image:
    return crossed.filter(ImageFilter.MaxFilter(2 * (line // 2) + 1)) if line > 1 else crossed
