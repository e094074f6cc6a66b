"""Tables of many columns on a terminal of any width."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vitreous.cli.console import Console
    from vitreous.statistics.tables import Table

__all__ = ["show_table"]


def show_table(console: Console, shown: Table, files: Sequence[Path]) -> None:
    """All grids of a table, how to read them, and where they are."""
    from rich import table
    from rich.text import Text

    for heading, about, (head, *body) in shown.grids():
        columns = [*zip(head, *body, strict=True)]
        for place, part in enumerate(_as_wide_as(console.width, columns)):
            title = Text("" if place else heading, "bold")
            grid = table.Table(title=title, box=None, title_justify="left", padding=(0, 2, 0, 0))
            for at, column in enumerate(part):
                grid.add_column(
                    Text(column[0]), justify="right" if at else "left", no_wrap=True, min_width=max(map(len, column))
                )
            for row in zip(*(column[1:] for column in part), strict=True):
                grid.add_row(*map(Text, row))
            console.print(grid, crop=False)
        _lines(console, [about, ""] if about else [""])
    _lines(console, [shown.legend, *shown.remarks])
    _lines(console, [f"Tables: {', '.join(map(str, files))}"])


def _as_wide_as(width: int, columns: Sequence[Sequence[str]]) -> list[list[Sequence[str]]]:
    """Columns in parts that are no wider, each of them with the first; no name or number is cut."""
    names, *numbers = columns
    parts: list[list[Sequence[str]]] = []
    for column in numbers:
        wide = sum(max(map(len, each)) + 2 for each in [*(parts[-1] if parts else ()), column])
        if not parts or wide > width:
            parts.append([names])
        parts[-1].append(column)
    return parts or [[names]]


def _lines(console: Console, lines: Sequence[str]) -> None:
    """Plain text, never wrapped, so that paths can be copied."""
    from rich.text import Text

    for line in lines:
        console.print(Text(line), soft_wrap=True)
