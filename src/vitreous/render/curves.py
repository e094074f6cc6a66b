"""Lines with their intervals, side by side: what a table says at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import Any

from vitreous.errors import MissingExtra

__all__ = ["Line", "Panels", "check_plots", "draw_curves"]


@dataclass(frozen=True)
class Line:
    """Points, each with the ends of its interval.

    Attributes:
        x: where they are.
        y: how high.
        low: lower ends.
        high: upper ends.
    """

    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


Panels = Mapping[str, Mapping[str, Line]]
"""By title, by name, the lines side by side."""


def check_plots() -> None:
    """Say before the work begins that the plot cannot be drawn.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    _figure()


def draw_curves(panels: Panels, *, title: str, axes: tuple[str, str]) -> Any:
    """Panels side by side, on one scale; a line of one name has one color in all of them.

    Returns:
        a figure of matplotlib, to be saved.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    figure = _figure()(figsize=(5.2 * len(panels) + 0.8, 5.0), layout="constrained")
    places: Any = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    for place, (heading, lines) in zip(places, panels.items(), strict=True):
        for name, line in lines.items():
            at = names.index(name)
            ends = [
                [max(0.0, y - low) for y, low in zip(line.y, line.low, strict=True)],
                [max(0.0, high - y) for y, high in zip(line.y, line.high, strict=True)],
            ]
            style = {"color": f"C{at % 10}", "linestyle": "--" if at >= 10 else "-", "marker": "o", "markersize": 3}
            place.errorbar(line.x, line.y, ends, label=name, linewidth=1.3, capsize=2, **style)
        place.set(title=heading, xlabel=axes[0])
        place.legend(fontsize="x-small", frameon=False)
        place.grid(alpha=0.2)
    places[0].set_ylabel(axes[1])
    figure.suptitle(fill(title, 55 * len(panels)), fontsize="medium")
    return figure


def _figure() -> Any:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("matplotlib", "benchmark") from None
    return Figure
