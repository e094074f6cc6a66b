"""A heat map laid on its picture. How maps are resized and scaled for the eye is stated here, and only here.

Resizing is bilinear with `align_corners=False`: a patch is an area, so the map's edges meet the picture's edges, and
a patch's value lies at the patch's center; a map of whole blocks fills each with its value, as metrics take it. By
default each map has a scale of its own: from its lowest value to its highest, or, of a map with two sides, as far
from zero on both as it reaches on either; so colors compare places of one map, never two maps, and zero is always the
middle of two sides. The picture shows through where a map is weak, so that what does not matter looks as it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from vitreous.errors import ShapeError
from vitreous.render.colormap import Palette, colorize

__all__ = ["Scale", "draw", "layer", "overlay", "spread", "upsample"]


@dataclass(frozen=True)
class Scale:
    """Which values are the first and the last color.

    Attributes:
        low: at the first color.
        high: at the last.
        signed: zero lies in the middle, and is clear.
    """

    low: float
    high: float
    signed: bool = False

    @classmethod
    def of(cls, heatmaps: Sequence[Tensor], *, signed: bool = False) -> Scale:
        """The scale that these maps fill together.

        Raises:
            ShapeError: they are one constant, or not finite.
        """
        flat = torch.cat([each.detach().flatten().double().cpu() for each in heatmaps])
        low, high, most = flat.min().item(), flat.max().item(), flat.abs().max().item()
        rounding = 4 * max(torch.finfo(each.dtype).eps for each in heatmaps) * most
        if not math.isfinite(high - low) or high - low <= rounding:
            raise ShapeError(
                f"`heatmap` runs from {low:g} to {high:g}, so there is nothing to color. "
                "Give a map that is finite and not constant."
            )
        return cls(-most, most, signed) if signed else cls(low, high)

    @property
    def palette(self) -> Palette:
        """Of its colors."""
        return "diverging" if self.signed else "sequential"

    def of_values(self, values: Float[Tensor, "h w"]) -> Float[np.ndarray, "h w"]:
        """Values as places among the colors, from 0 to 1."""
        low, high = self.low, self.high
        return ((values.double() - low) / (high - low)).clamp(0, 1).cpu().numpy()

    def strength(self, places: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
        """How strong each is, from 0 to 1: its distance from zero, or from the lowest value."""
        return np.abs(2 * places - 1) if self.signed else places


def upsample(heatmap: Tensor, size: tuple[int, int], *, blocks: bool = False) -> Float[Tensor, "height width"]:
    """One map (h, w) at (height, width), edge to edge: bilinear, or each number fills its block.

    Computed in double precision: what lies between equal numbers of a map in single precision is equal to them.

    Raises:
        ShapeError: not one map.
    """
    if heatmap.ndim != 2:
        raise ShapeError(f"`heatmap` must be (h, w); got {tuple(heatmap.shape)}. Take one map of the batch.")
    wide = heatmap.to(torch.promote_types(heatmap.dtype, torch.float32))
    if blocks:
        return F.interpolate(wide[None, None], size, mode="nearest-exact")[0, 0]
    return F.interpolate(wide.double()[None, None], size, mode="bilinear", align_corners=False)[0, 0].to(wide)


def spread(
    heatmap: Tensor, size: tuple[int, int], box: tuple[int, int, int, int], *, blocks: bool = False
) -> Float[Tensor, "height width"]:
    """One map (h, w) in the pixels of a picture, edge to edge of a box in it; NaN outside.

    Args:
        heatmap: raw.
        size: (width, height) of the picture.
        box: left, top, right, bottom; it may reach beyond the picture.
        blocks: each number fills its block; else bilinear.
    """
    width, height = size
    left, top, right, bottom = box
    shape = (bottom - top, right - left)
    drawn = upsample(heatmap.detach(), shape, blocks=blocks)
    page = drawn.new_full((height, width), torch.nan)
    upper, lefter, lower, righter = max(top, 0), max(left, 0), min(bottom, height), min(right, width)
    page[upper:lower, lefter:righter] = drawn[upper - top : lower - top, lefter - left : righter - left]
    return page


def overlay(
    picture: Image.Image,
    heatmap: Tensor,
    *,
    alpha: float = 0.75,
    signed: bool = False,
    scale: Scale | None = None,
    blocks: bool = False,
) -> Image.Image:
    """The picture with the map on it, edge to edge, at the picture's size.

    Args:
        picture: RGB, exactly the part that the model saw.
        heatmap: (h, w), raw.
        alpha: opacity of the map's strongest value, 0 to 1; weaker places let more of the picture through, and the
            weakest all of it.
        signed: the map has two sides, on either side of zero.
        scale: of the colors; by default the map's own.
        blocks: the map is of whole blocks, which keep their edges.

    Raises:
        ShapeError: not one map, constant, not finite; or `alpha` outside [0, 1].
    """
    if not 0 <= alpha <= 1:
        raise ShapeError(f"`alpha` must lie in [0, 1]; got {alpha:g}. 0 shows the picture alone, 1 hides it.")
    scale = scale or Scale.of([heatmap.detach()], signed=signed)
    drawn = layer(upsample(heatmap.detach(), (picture.height, picture.width), blocks=blocks), scale, alpha=float(alpha))
    return Image.composite(drawn.convert("RGB"), picture, drawn.getchannel("A"))


def layer(values: Float[Tensor, "height width"], scale: Scale, *, alpha: float = 0.75) -> Image.Image:
    """A map alone, RGBA: as opaque as it is strong.

    Args:
        values: pixel by pixel; NaN for nothing.
        scale: of the colors.
        alpha: opacity of the strongest value, 0 to 1.
    """
    nothing = 0.0 if scale.signed else scale.low
    places = scale.of_values(values.nan_to_num(nothing))
    drawn = Image.fromarray(colorize(places, scale.palette))
    drawn.putalpha(Image.fromarray(np.rint(255 * alpha * scale.strength(places)).astype(np.uint8)))
    return drawn


def draw(heatmap: Tensor, scale: Scale, *, patch: int = 16, blocks: bool = False) -> Image.Image:
    """The map alone, each patch `patch` pixels wide: for when there is no picture to lay it on."""
    size = (patch * heatmap.shape[0], patch * heatmap.shape[1])
    return Image.fromarray(colorize(scale.of_values(upsample(heatmap.detach(), size, blocks=blocks)), scale.palette))
