"""One page for one picture: what the model saw, every method's overlay beside it, and the scale of the colors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vitreous.errors import ShapeError
from vitreous.render.colormap import colorize

__all__ = ["PANEL", "Panel", "blank", "fit", "sheet"]

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PANEL = 320
"""Width, and greatest height, of a panel in pixels."""

_COLUMNS, _MARGIN, _GAP = 5, 40, 24
_LABEL, _LABEL_AND_CAPTION, _FOOT, _BAR = 34, 58, 56, (200, 12)
_PAPER, _INK, _GREY, _EMPTY = "#ffffff", "#16181d", "#6b7280", "#f1f2f4"
_TITLE, _SUBTITLE, _HEADING, _CAPTION = (30, _INK), (19, _GREY), (20, _INK), (16, _GREY)
"""Letters: size and color."""
_NOTE = "each map on its own scale"


@dataclass(frozen=True)
class Panel:
    """One place on a sheet.

    Attributes:
        title: above the picture.
        picture: RGB; None leaves an empty tile, for a map that could not be made.
        caption: under the title, smaller.
    """

    title: str
    picture: Image.Image | None
    caption: str = ""


def blank() -> Image.Image:
    """A panel's worth of nothing, to draw on."""
    return Image.new("RGB", (PANEL, PANEL), _EMPTY)


def fit(picture: Image.Image) -> Image.Image:
    """The picture at the size of a panel, its aspect kept."""
    scale = PANEL / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def sheet(panels: Sequence[Panel], *, title: str, subtitle: str = "", columns: int | None = None) -> Image.Image:
    """Panels side by side under a title, above a color bar.

    Args:
        panels: in reading order.
        title: in large letters; shortened where it does not fit.
        subtitle: under it, in grey.
        columns: how many panels make a row; by default up to 5, in rows of equal length.

    Raises:
        ShapeError: no panels.
    """
    if not panels:
        raise ShapeError("`panels` is empty. Give at least one panel.")
    columns = columns or ceil(len(panels) / ceil(len(panels) / _COLUMNS))
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    pictures = [[fit(panel.picture) if panel.picture else None for panel in row] for row in rows]
    heights = [max((picture.height for picture in row if picture), default=PANEL) for row in pictures]
    label = _LABEL_AND_CAPTION if any(panel.caption for panel in panels) else _LABEL

    width = 2 * _MARGIN + max(2, columns) * (PANEL + _GAP) - _GAP  # at least two panels: the foot needs the room
    top = _MARGIN + (88 if subtitle else 56)
    page = Image.new("RGB", (width, top + sum(label + height + _GAP for height in heights) + _FOOT), _PAPER)
    _write(page, (_MARGIN, _MARGIN - 8), title, _TITLE, width - 2 * _MARGIN)
    _write(page, (_MARGIN, _MARGIN + 34), subtitle, _SUBTITLE, width - 2 * _MARGIN)
    for row, shown, height in zip(rows, pictures, heights, strict=True):
        for column, (panel, picture) in enumerate(zip(row, shown, strict=True)):
            left = _MARGIN + column * (PANEL + _GAP)
            _write(page, (left, top), panel.title, _HEADING, PANEL)
            _write(page, (left, top + 26), panel.caption, _CAPTION, PANEL)
            _place(page, (left, top + label), picture, height)
        top += label + height + _GAP
    _color_bar(page, (_MARGIN, top))
    return page


def _place(page: Image.Image, at: tuple[int, int], picture: Image.Image | None, height: int) -> None:
    """A picture in the middle of its place, or the empty place."""
    left, top = at
    if picture is None:
        page.paste(_EMPTY, (left, top, left + PANEL, top + height))
    else:
        page.paste(picture, (left + (PANEL - picture.width) // 2, top + (height - picture.height) // 2))


def _color_bar(page: Image.Image, at: tuple[int, int]) -> None:
    """The colors from low to high, and how the maps are scaled."""
    left, top = at
    width, height = _BAR
    left += 10 + _write(page, at, "low", _CAPTION, PANEL)
    bar = colorize(np.tile(np.linspace(0, 1, width), (height, 1)))
    page.paste(Image.fromarray(bar), (left, top + 4))
    _write(page, (left + width + 10, top), f"high · {_NOTE}", _CAPTION, PANEL)


def _write(page: Image.Image, at: tuple[int, int], text: str, letters: tuple[int, str], width: int) -> int:
    """One line of text, shortened to the width; gives the width it took."""
    size, color = letters
    printable = " ".join(text.encode(errors="replace").decode().split())
    line = _shorten(printable, _font(size), width)
    ImageDraw.Draw(page).text(at, line, color, _font(size))
    return round(_font(size).getlength(line))


def _shorten(text: str, font: _Font, width: int) -> str:
    kept, line = len(text), text
    while font.getlength(line) > width:
        kept -= 1
        line = f"{text[:kept].rstrip(' ,')}…"
    return line


@cache
def _font(size: int) -> _Font:
    return ImageFont.load_default(size)
