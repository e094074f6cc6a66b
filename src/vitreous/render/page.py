"""Pages in one HTML file: tables, curves, pictures; light or dark as the reader likes. Every text is escaped."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Mapping, Sequence
from io import BytesIO

from markupsafe import Markup
from PIL import Image

from vitreous.render.html import macros, render
from vitreous.render.numbers import number

__all__ = [
    "chart",
    "curve",
    "data_uri",
    "facts",
    "figure",
    "figures",
    "fold",
    "heading",
    "items",
    "page",
    "paragraph",
    "picture",
    "table",
]

_WIDTH, _HEIGHT = 380, 180
_SHADES = 10


def page(title: str, parts: Sequence[Markup]) -> str:
    """The whole file.

    Args:
        title: of the page.
        parts: made by the other functions here.
    """
    return render("base.html", title=title, content=parts)


def heading(text: str) -> Markup:
    """The title of a part."""
    return macros("parts.html")("heading")(text)


def paragraph(text: str) -> Markup:
    """A text."""
    return macros("parts.html")("paragraph")(text)


def items(texts: Sequence[str]) -> Markup:
    """A list."""
    return macros("parts.html")("items")(texts)


def table(grid: Sequence[Sequence[str]], shades: Mapping[tuple[int, int], float] | None = None) -> Markup:
    """A table.

    Args:
        grid: texts, row by row; the first row names the columns.
        shades: by (row, column) of the grid, how strongly a cell is colored, 0 to 1, in tenths.
    """
    tenths = {place: round(_SHADES * shade) for place, shade in (shades or {}).items()}
    return macros("parts.html")("table")(grid[0], grid[1:], defaultdict(int, tenths))


def fold(title: str, parts: Sequence[Markup], *, opened: bool = False) -> Markup:
    """Parts behind their title, until somebody opens them."""
    return macros("parts.html")("fold")(title, parts, opened)


def facts(rows: Sequence[tuple[str, str]]) -> Markup:
    """Names, and what is said of each."""
    return macros("parts.html")("facts")(rows)


def curve(title: str, values: Sequence[float]) -> Markup:
    """A line over 1, 2, …, drawn between its lowest and highest value, which are named."""
    low, high = min(values), max(values)
    across, up = _WIDTH / max(1, len(values) - 1), _HEIGHT / ((high - low) or 1)
    points = " ".join(f"{at * across:.1f},{(high - value) * up:.1f}" for at, value in enumerate(values))
    told = f"{number(low)} to {number(high)}, at the end {number(values[-1])}"
    return macros("parts.html")("curve")(title, told, points, _WIDTH, _HEIGHT)


def data_uri(shown: Image.Image, form: str = "JPEG") -> str:
    """A picture as an address that holds it."""
    data = BytesIO()
    shown.convert("RGB").save(data, form, **({"quality": 88} if form == "JPEG" else {}))
    return f"data:image/{form.lower()};base64,{base64.b64encode(data.getvalue()).decode()}"


def picture(shown: Image.Image, about: str) -> Markup:
    """A picture, in the file itself; `about` is read to those who cannot see it."""
    return macros("parts.html")("image")(data_uri(shown), about)


def chart(svg: str, about: str) -> Markup:
    """A chart as wide as the page; `about` is read to those who cannot see it."""
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
    return macros("parts.html")("chart")(source, about)


def figure(pictures: Sequence[Image.Image], caption: str) -> Markup:
    """Pictures side by side, in the file itself, over a caption."""
    return macros("parts.html")("figure")([data_uri(each) for each in pictures], caption)


def figures(shown: Sequence[Markup]) -> Markup:
    """Figures beside each other, as many as fit."""
    return Markup('<div class="figures">{}</div>').format(Markup("").join(shown))
