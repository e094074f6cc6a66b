"""Charts as SVG: lines with their intervals, and named points. Needs matplotlib."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from textwrap import fill
from typing import Any

from vitreous.errors import MissingExtra

__all__ = ["Line", "Panels", "check_charts", "line_chart", "point_chart"]

_STYLES = ("-", "--", ":", "-.")  # ten colors each


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        x: where it is known.
        y: its values there.
        low: lower ends of their intervals; empty for none.
        high: upper ends.
    """

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


Panels = Mapping[str, Mapping[str, Line]]
"""By title, by name, the lines side by side."""


def check_charts() -> None:
    """Say before the work begins that no chart can be drawn.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    _matplotlib()


def line_chart(panels: Panels, *, x: str, y: str, title: str = "") -> str:
    """Panels side by side on one scale; a line of one name looks alike in all of them.

    Args:
        panels: by title, by name, the lines.
        x: what the horizontal axes are.
        y: what the vertical axis is.
        title: of all; too long a one goes on below.

    Returns:
        an SVG picture, the same for the same lines.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    with _axes(x, y, len(panels), title) as (places, svg):
        for place, (heading, lines) in zip(places, panels.items(), strict=True):
            for name, line in lines.items():
                at = names.index(name)
                look = {"color": f"C{at % 10}", "linestyle": _STYLES[at // 10 % len(_STYLES)], "label": _plain(name)}
                place.errorbar(line.x, line.y, _ends(line), marker="o", markersize=3, capsize=2, linewidth=1.3, **look)
            place.set_title(_plain(heading))
            place.legend(fontsize="x-small", frameon=False)
    return svg.getvalue()


def point_chart(points: Mapping[str, tuple[float, float]], *, x: str, y: str) -> str:
    """Named points.

    Args:
        points: (x, y) by name.
        x: what the horizontal axis is.
        y: what the vertical axis is.

    Returns:
        an SVG picture, the same for the same points.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    with _axes(x, y) as ((place,), svg):
        for name, at in points.items():
            place.plot(*at, "o", color="C0")
            place.annotate(_plain(name), at, xytext=(4, 3), textcoords="offset points", fontsize="small")
    return svg.getvalue()


@contextmanager
def _axes(x: str, y: str, count: int = 1, title: str = "") -> Generator[tuple[list[Any], StringIO]]:
    """Empty axes to draw on, side by side; at the end the text holds the picture."""
    context, figure_of = _matplotlib()
    svg = StringIO()
    with context({"svg.hashsalt": "vitreous", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = figure_of(figsize=(5.2 * count + 1.8, 4.6), layout="constrained")
        places = figure.subplots(1, count, sharey=True, squeeze=False)[0].tolist()
        for place in places:
            place.set_xlabel(_plain(x))
            place.spines[["top", "right"]].set_visible(False)
            place.grid(alpha=0.25)
        places[0].set_ylabel(_plain(y))
        figure.suptitle(fill(_plain(title), 55 * count), fontsize="medium")
        yield places, svg
        figure.savefig(svg, format="svg", metadata={"Date": None})


def _ends(line: Line) -> list[list[float]] | None:
    """How far down and up the intervals reach."""
    if not len(line.low):
        return None
    down = [max(0.0, y - low) for y, low in zip(line.y, line.low, strict=True)]
    return [down, [max(0.0, high - y) for y, high in zip(line.y, line.high, strict=True)]]


def _matplotlib() -> tuple[Any, Any]:
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("matplotlib", "charts") from None
    return mpl.rc_context, Figure


def _plain(text: str) -> str:
    """Text that is not taken for a formula."""
    return text.replace("$", r"\$")
