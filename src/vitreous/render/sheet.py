"""One page for one picture: what the model saw, every method's overlay beside it, and the scale of the colors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from vitreous.errors import ShapeError
from vitreous.render.colormap import colorize
from vitreous.render.letters import NUMBERED, length_of, numbered, write
from vitreous.render.numbers import number
from vitreous.render.overlay import Scale
from vitreous.render.png import write_png

__all__ = ["PANEL", "Panel", "blank", "fit", "save_page", "sheet"]

PANEL = 320
"""Width, and greatest height, of a panel in pixels."""

_COLUMNS, _MARGIN, _GAP = 5, 40, 24
_LABEL, _LABEL_AND_CAPTION, _FOOT, _BAR = 34, 58, 44, 10
_UNDER = 40
"""Room under a picture for its colors."""
_NOTE = 20
"""Height of a line under that."""
_LINE, _SHARE = 26, 200
"""Of the bars in the head: height of a line, length of all."""
_PAPER, _INK, _GREY, _EMPTY, _FILLED = "#ffffff", "#16181d", "#6b7280", "#f1f2f4", "#6d5bd0"
_TITLE, _SUBTITLE, _HEADING, _CAPTION = (30, _INK), (19, _GREY), (20, _INK), (16, _GREY)
"""Letters: size and color."""
_DOT = " · "
_OWN, _SHARED = "each map on its own scale", "all maps on one scale"
_SIDES = "where zero is in the middle, orange speaks for what is explained and blue against it"


@dataclass(frozen=True)
class Panel:
    """One place on a sheet.

    Attributes:
        title: above the picture.
        picture: RGB; None leaves an empty tile, for a map that could not be made.
        caption: under the title, smaller.
        scale: of its colors, drawn under the picture; None where it has none.
        note: under these, small.
    """

    title: str
    picture: Image.Image | None
    caption: str = ""
    scale: Scale | None = None
    note: str = ""


def blank() -> Image.Image:
    """A panel's worth of nothing, to draw on."""
    return Image.new("RGB", (PANEL, PANEL), _EMPTY)


def fit(picture: Image.Image, side: int = PANEL) -> Image.Image:
    """The picture with a longer side of so many pixels, by default a panel's, its aspect kept."""
    scale = side / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def sheet(
    panels: Sequence[Panel],
    *,
    title: str,
    subtitle: str = "",
    columns: int | None = None,
    shares: Sequence[tuple[str, float]] = (),
    foot: str = "",
) -> Image.Image:
    """Panels side by side under a title, each above its colors.

    Args:
        panels: in reading order.
        title: in large letters; shortened where it does not fit.
        subtitle: under it, in grey.
        columns: how many panels make a row; by default up to 5, in rows of equal length.
        shares: what is drawn as bars under the subtitle: words, and how much of a whole bar each fills, from 0 to 1.
        foot: at the end, under what is said of the colors.

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

    scales = [panel.scale for panel in panels if panel.scale]
    noted = any(panel.note for panel in panels)
    under = (_UNDER if scales else 0) + (_NOTE if noted else 0)

    written = [title, subtitle, foot, *(words for words, _ in shares)]
    written += [text for panel in panels for text in (panel.title, panel.caption, panel.note)]
    feet = [foot] * bool(foot) + [NUMBERED] * any(map(numbered, written))

    width = 2 * _MARGIN + max(2, columns) * (PANEL + _GAP) - _GAP  # at least two panels: the foot needs the room
    lines = _wrapped(subtitle, _SUBTITLE[0], width - 2 * _MARGIN)
    head = _MARGIN + (62 if lines else 56) + len(lines) * _LINE
    top = head + len(shares) * _LINE + (_GAP if shares else 0)
    size = (
        width,
        top + sum(label + height + under + _GAP for height in heights) + (_FOOT if scales else 0) + _NOTE * len(feet),
    )
    page = Image.new("RGB", size, _PAPER)
    _write(page, (_MARGIN, _MARGIN - 8), title, _TITLE, width - 2 * _MARGIN)
    for at, line in enumerate(lines):
        _write(page, (_MARGIN, _MARGIN + 34 + at * _LINE), line, _SUBTITLE, width - 2 * _MARGIN)
    for line, (words, share) in enumerate(shares):
        _bar_of(page, (_MARGIN, head + line * _LINE), words, share, width - 2 * _MARGIN)
    for row, shown, height in zip(rows, pictures, heights, strict=True):
        for column, (panel, picture) in enumerate(zip(row, shown, strict=True)):
            left = _MARGIN + column * (PANEL + _GAP)
            _write(page, (left, top), panel.title, _HEADING, PANEL)
            _write(page, (left, top + 26), panel.caption, _CAPTION, PANEL)
            _place(page, (left, top + label), picture, height)
            if panel.scale:
                _colors_of(page, (left, top + label + height + 8), panel.scale)
            _write(page, (left, top + label + height + under - _NOTE), panel.note, _CAPTION, PANEL)
        top += label + height + under + _GAP
    if scales:
        notes = [_SHARED if len({*scales}) == 1 and len(scales) > 1 else _OWN if len(scales) > 1 else ""]
        notes += [_SIDES] if any(scale.signed for scale in scales) else []
        _write(page, (_MARGIN, top), " · ".join(filter(None, notes)), _CAPTION, width - 2 * _MARGIN)
        top += _NOTE
    for line in feet:
        _write(page, (_MARGIN, top), line, _CAPTION, width - 2 * _MARGIN)
        top += _NOTE
    return page


def save_page(page: Image.Image, path: Path | BinaryIO, kind: str | None = None) -> None:
    """Write a page, in the format named or else by the suffix."""
    if (kind or (path.suffix[1:] if isinstance(path, Path) else "")).lower() != "png":
        page.save(path, kind)
    elif isinstance(path, Path):
        with path.open("wb") as file:
            write_png(page, file)
    else:
        write_png(page, path)


def _place(page: Image.Image, at: tuple[int, int], picture: Image.Image | None, height: int) -> None:
    """A picture in the middle of its place, or the empty place."""
    left, top = at
    if picture is None:
        page.paste(_EMPTY, (left, top, left + PANEL, top + height))
    else:
        page.paste(picture, (left + (PANEL - picture.width) // 2, top + (height - picture.height) // 2))


def _colors_of(page: Image.Image, at: tuple[int, int], scale: Scale) -> None:
    """The colors of a scale, with the values at its ends, and zero in the middle of two sides."""
    left, top = at
    bar = colorize(np.tile(np.linspace(0, 1, PANEL), (_BAR, 1)), scale.palette)
    page.paste(Image.fromarray(bar), (left, top))
    ends = [(number(scale.low), 0.0), *([("0", 0.5)] if scale.signed else []), (number(scale.high), 1.0)]
    for words, place in ends:
        length = length_of(words, _CAPTION[0])
        _write(page, (left + round(place * (PANEL - length)), top + _BAR + 2), words, _CAPTION, PANEL)


def _bar_of(page: Image.Image, at: tuple[int, int], words: str, share: float, width: int) -> None:
    """Part of a bar, and what it stands for."""
    left, top = at
    page.paste(_EMPTY, (left, top, left + _SHARE, top + _LINE - 8))
    page.paste(_FILLED, (left, top, left + round(_SHARE * share), top + _LINE - 8))
    name, dot, said = words.rpartition(_DOT)
    room = width - _SHARE - 12
    short = _shorten(name, _CAPTION[0], room - round(length_of(f"{dot}{said}", _CAPTION[0]))) if dot else ""
    _write(page, (left + _SHARE + 12, top - 1), f"{short}{dot}{said}", _CAPTION, room)


def _write(page: Image.Image, at: tuple[int, int], text: str, letters: tuple[int, str], width: int) -> None:
    """One line of text, shortened to the width."""
    size, color = letters
    write(page, at, _shorten(" ".join(text.split()), size, width), color, size)


def _wrapped(text: str, size: int, width: int) -> list[str]:
    """Lines that hold as many of the parts between dots as fit; nothing of an empty text."""
    lines: list[str] = []
    for part in filter(None, text.split(_DOT)):
        longer = f"{lines[-1]}{_DOT}{part}" if lines else part
        if lines and length_of(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines


def _shorten(text: str, size: int, width: int) -> str:
    kept, line = len(text), text
    while length_of(line, size) > width:
        kept -= 1
        line = f"{text[:kept].rstrip(' ,')}…"
    return line
