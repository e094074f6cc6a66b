"""A heat map laid on its picture. How maps are resized and scaled for the eye is stated here, and only here.

Resizing is bilinear with `align_corners=False`: a patch is an area, so the map's edges meet the picture's edges, and a
patch's value lies at the patch's center. Scaling is min-max over each map on its own: 0 is the map's lowest value and 1
its highest, so colors compare places of one map, never two maps.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from vitreous.errors import ShapeError
from vitreous.render.colormap import colorize

__all__ = ["draw", "normalize", "overlay", "upsample"]

_FAINTEST = 0.7
"""Opacity of a map's lowest value, as a share of the highest's: the picture shows through where the map is weak."""


def upsample(heatmap: Tensor, size: tuple[int, int]) -> Float[Tensor, "height width"]:
    """One map (h, w) at (height, width): bilinear, edge to edge.

    Raises:
        ShapeError: not one map.
    """
    if heatmap.ndim != 2:
        raise ShapeError(f"`heatmap` must be (h, w); got {tuple(heatmap.shape)}. Take one map of the batch.")
    wide = heatmap.to(torch.promote_types(heatmap.dtype, torch.float32))
    return F.interpolate(wide[None, None], size, mode="bilinear", align_corners=False)[0, 0]


def normalize(heatmap: Float[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    """The map scaled to [0, 1]: its lowest value to 0, its highest to 1.

    Raises:
        ShapeError: constant or not finite.
    """
    low, high = heatmap.min(), heatmap.max()
    rounding = 4 * torch.finfo(heatmap.dtype).eps * heatmap.abs().max()  # what resizing alone tells apart
    if not (high - low).isfinite() or high - low <= rounding:
        raise ShapeError(
            f"`heatmap` runs from {low.item():g} to {high.item():g}, so there is nothing to color. "
            "Give a map that is finite and not constant."
        )
    return ((heatmap - low) / (high - low)).clamp(0, 1)


def overlay(picture: Image.Image, heatmap: Tensor, *, alpha: float = 0.6) -> Image.Image:
    """The picture with the map on it, edge to edge, at the picture's size.

    Args:
        picture: RGB, exactly the part that the model saw.
        heatmap: (h, w), raw.
        alpha: opacity of the map's highest value, 0 to 1; weaker places let more of the picture through.

    Raises:
        ShapeError: not one map, constant, not finite; or `alpha` outside [0, 1].
    """
    if not 0 <= alpha <= 1:
        raise ShapeError(f"`alpha` must lie in [0, 1]; got {alpha:g}. 0 shows the picture alone, 1 hides it.")
    values = normalize(upsample(heatmap.detach(), (picture.height, picture.width))).cpu().numpy()
    opacity = 255 * alpha * (_FAINTEST + (1 - _FAINTEST) * values)
    colors, mask = Image.fromarray(colorize(values)), Image.fromarray(opacity.astype(np.uint8))
    return Image.composite(colors, picture, mask)


def draw(heatmap: Tensor, *, patch: int = 16) -> Image.Image:
    """The map alone, each patch `patch` pixels wide: for when there is no picture to lay it on."""
    size = (patch * heatmap.shape[0], patch * heatmap.shape[1])
    return Image.fromarray(colorize(normalize(upsample(heatmap.detach(), size)).cpu().numpy()))
