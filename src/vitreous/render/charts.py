"""Charts as SVG: lines with their bands, and named points. Needs matplotlib."""

from __future__ import annotations

import base64
import html
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import Any

from vitreous.errors import MissingExtra

__all__ = ["Line", "chart_tag", "line_chart", "point_chart"]

_STYLES = ("-", "--", ":", "-.")  # ten colors each


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        x: where it is known.
        y: its values there.
        low: lower end of its band; empty for none.
        high: upper end of its band.
    """

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


def line_chart(lines: Mapping[str, Line], *, x: str, y: str) -> str:
    """Lines by name, with a legend beside them.

    Args:
        lines: by name.
        x: what the horizontal axis is.
        y: what the vertical axis is.

    Returns:
        an SVG picture, the same for the same lines.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    with _axes(x, y) as (axes, svg):
        for at, (name, line) in enumerate(lines.items()):
            color = f"C{at % 10}"
            axes.plot(line.x, line.y, _STYLES[at // 10 % len(_STYLES)], color=color, label=_plain(name))
            if len(line.low):
                axes.fill_between(line.x, line.low, line.high, color=color, alpha=0.15, linewidth=0)
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), fontsize="small", frameon=False)
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
    with _axes(x, y) as (axes, svg):
        for name, place in points.items():
            axes.plot(*place, "o", color="C0")
            axes.annotate(_plain(name), place, xytext=(4, 3), textcoords="offset points", fontsize="small")
    return svg.getvalue()


def chart_tag(svg: str, about: str) -> str:
    """HTML that shows a chart; `about` is read to those who cannot see it."""
    data = base64.b64encode(svg.encode()).decode()
    return f'<img alt="{html.escape(about)}" src="data:image/svg+xml;base64,{data}">'


@contextmanager
def _axes(x: str, y: str) -> Generator[tuple[Any, StringIO]]:
    """Empty axes to draw on; at the end the text holds the picture."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("matplotlib", "charts") from None
    svg = StringIO()
    with mpl.rc_context({"svg.hashsalt": "vitreous", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(7, 4.2), layout="constrained")
        axes: Any = figure.add_subplot()
        axes.set(xlabel=_plain(x), ylabel=_plain(y))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
        yield axes, svg
        figure.savefig(svg, format="svg", metadata={"Date": None})


def _plain(text: str) -> str:
    """Text that is not taken for a formula."""
    return text.replace("$", r"\$")
