"""Pages in one HTML file: tables, curves, pictures; light or dark as the reader likes. Every text is escaped here."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO

from PIL import Image

__all__ = ["curve", "figure", "heading", "items", "page", "paragraph", "picture", "table"]

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{padding:.2rem .7rem;text-align:right}td:first-child,th:first-child"
    "{text-align:left}thead{border-bottom:2px solid}tr+tr{border-top:1px solid #8884}.scroll{overflow-x:auto}"
    ":root{color-scheme:light dark}figure{display:inline-block;margin:0 1.5rem 1.5rem 0;vertical-align:top}"
    "figcaption{font-size:.9rem}img{max-width:100%;background:#fff;margin-right:.3rem}svg{overflow:visible}"
)
_WIDTH, _HEIGHT = 300, 140


def page(title: str, parts: Sequence[str]) -> str:
    """The whole file.

    Args:
        title: of the page.
        parts: HTML, made by the other functions here.
    """
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>{''.join(parts)}</html>\n"
    )


def heading(text: str) -> str:
    """The title of a part."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    """A text."""
    return f"<p>{escape(text)}</p>"


def items(texts: Sequence[str]) -> str:
    """A list."""
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"


def table(grid: Sequence[Sequence[str]], shades: Mapping[tuple[int, int], float] | None = None) -> str:
    """A table.

    Args:
        grid: texts, row by row; the first row names the columns.
        shades: by (row, column) of the grid, how strongly a cell is colored, 0 to 1.
    """
    head, *body = grid
    columns = "".join(f'<th scope="col">{escape(each)}</th>' for each in head)
    rows = "".join(
        f"<tr>{''.join(_cell(text, (shades or {}).get((row, column))) for column, text in enumerate(each))}</tr>"
        for row, each in enumerate(body, 1)
    )
    return f'<div class="scroll"><table><thead><tr>{columns}</tr></thead><tbody>{rows}</tbody></table></div>'


def curve(title: str, values: Sequence[float]) -> str:
    """A line over 1, 2, …, drawn between its lowest and highest value, which are named."""
    low, high = min(values), max(values)
    across, up = _WIDTH / max(1, len(values) - 1), _HEIGHT / ((high - low) or 1)
    points = " ".join(f"{at * across:.1f},{(high - value) * up:.1f}" for at, value in enumerate(values))
    name = escape(title)
    return (
        f"<figure><figcaption>{name}: {low:.3g} to {high:.3g}, at the end {values[-1]:.3g}</figcaption>"
        f'<svg role="img" aria-label="{name}" width="{_WIDTH}" height="{_HEIGHT}">'
        f'<path d="M0 0V{_HEIGHT}H{_WIDTH}" fill="none" stroke="#888"/>'
        f'<polyline points="{points}" fill="none" stroke="#c2378b" stroke-width="2"/></svg></figure>'
    )


def picture(shown: Image.Image, about: str) -> str:
    """A picture, in the file itself; `about` is read to those who cannot see it."""
    data = BytesIO()
    shown.convert("RGB").save(data, "JPEG", quality=88)
    encoded = base64.b64encode(data.getvalue()).decode()
    return f'<img alt="{escape(about)}" src="data:image/jpeg;base64,{encoded}">'


def figure(pictures: Sequence[Image.Image], caption: str) -> str:
    """Pictures side by side, in the file itself, over a caption."""
    shown = "".join(picture(each, "") for each in pictures)
    return f"<figure>{shown}<figcaption>{escape(caption)}</figcaption></figure>"


def _cell(text: str, shade: float | None) -> str:
    style = f' style="background:rgb(194 55 139/{shade:.2f})"' if shade else ""
    return f"<td{style}>{escape(text)}</td>"
