"""Heat maps for other programs: an SVG whose layers they can take apart, a TIFF of raw numbers."""

from __future__ import annotations

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Float
from markupsafe import Markup
from PIL import Image
from torch import Tensor

from vitreous.render.colormap import PALETTES
from vitreous.render.numbers import number
from vitreous.render.overlay import Scale, layer
from vitreous.render.view import View

__all__ = ["layered", "save_raw"]

_BAR, _GAP, _LETTERS = 12, 8, 14
_FRAME = Markup(
    """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" \
width="{width}" height="{height}" viewBox="0 0 {width} {height}">
<title>{title}</title>
<defs><linearGradient id="colors">{stops}</linearGradient></defs>
{picture}
{map}
{seen}
<g id="scale" font-family="sans-serif" font-size="{letters}" fill="#16181d">
<rect y="{bar}" width="{width}" height="12" fill="url(#colors)"/>
{ends}
</g>
</svg>
"""
)
_IMAGE = Markup('<image id="{}" width="{}" height="{}" xlink:href="data:image/{};base64,{}"/>')
_SEEN = Markup('<rect id="seen" x="{}" y="{}" width="{}" height="{}" fill="none" stroke="#ffffff" stroke-width="2"/>')
_STOP, _END = Markup('<stop offset="{}" stop-color="{}"/>'), Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>')


def layered(view: View, values: Float[Tensor, "height width"], scale: Scale, title: str) -> str:
    """The picture, the map, a frame around what the model saw and the scale, each an element that is called so.

    Args:
        view: the whole picture, and what the model saw of it.
        values: of the map, in the picture's pixels; NaN where it says nothing.
        scale: of the colors.
        title: of the figure.
    """
    picture = view.whole
    width, below = picture.width, picture.height + _GAP
    left, top, right, bottom = view.inside
    colors = PALETTES[scale.palette]
    foot = below + _BAR + _LETTERS
    ends = [
        (0, "start", scale.low),
        *([(width / 2, "middle", 0.0)] if scale.signed else []),
        (width, "end", scale.high),
    ]
    return _FRAME.format(
        width=width,
        height=foot + _GAP,
        title=title,
        stops=Markup("").join(_STOP.format(at / (len(colors) - 1), color) for at, color in enumerate(colors)),
        picture=_image("picture", picture, "jpeg"),
        map=_image("map", layer(values, scale), "png"),
        seen="" if view.is_whole else _SEEN.format(left, top, right - left, bottom - top),
        letters=_LETTERS,
        bar=below,
        ends=Markup("\n").join(_END.format(at, foot, anchor, number(value)) for at, anchor, value in ends),
    )


def save_raw(values: Float[np.ndarray, "height width"], path: Path, description: str) -> None:
    """A TIFF of float32, one channel."""
    Image.fromarray(values.astype(np.float32)).save(path, "TIFF", description=description)


def _image(name: str, shown: Image.Image, form: str) -> Markup:
    data = BytesIO()
    shown.save(data, form, **({"quality": 92} if form == "jpeg" else {}))
    return _IMAGE.format(name, *shown.size, form, base64.b64encode(data.getvalue()).decode())
