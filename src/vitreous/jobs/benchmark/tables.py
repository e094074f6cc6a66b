"""The table as Markdown, CSV, LaTeX and a page."""

from __future__ import annotations

import csv
import html
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from io import StringIO
from pathlib import Path

from vitreous.files import whole_file
from vitreous.jobs.benchmark.summary import Cell

__all__ = ["Table", "write_tables"]

_SURE = 0.05


@dataclass(frozen=True)
class Table:
    """Everything that is reported.

    Attributes:
        title: what was measured on what.
        cells: the numbers.
        seconds: by model and row, seconds per heat map; empty where there are none.
        rows: the methods, in order.
        reference: the row that the others are compared with.
        notes: sentences under the tables: refusals, pictures that do not count.
    """

    title: str
    cells: Sequence[Cell]
    seconds: Mapping[tuple[str, str], float]
    rows: Sequence[str]
    reference: str
    notes: Sequence[str] = ()

    @property
    def legend(self) -> str:
        """How to read it."""
        return (
            "Value [95 % bootstrap interval over pictures]. "
            f"* differs from {self.reference} by a paired bootstrap, p < {_SURE:g}."
        )

    def grids(self) -> Iterator[tuple[str, list[list[str]]]]:
        """A heading and a grid of texts, its first row the column names, per model and metric."""
        for model, metric in dict.fromkeys((cell.model, cell.metric) for cell in self.cells):
            its = [cell for cell in self.cells if (cell.model, cell.metric) == (model, metric)]
            names = list(dict.fromkeys(cell.name for cell in its))
            at = {(cell.method, cell.name): cell for cell in its}
            grid = [["method", *names, "pictures", *(["s/picture"] if self.seconds else [])]]
            for row in self.rows:
                counts = [cell.pictures for cell in its if cell.method == row]
                if (model, row) in self.seconds or (counts and not self.seconds):
                    numbers = [_text(at.get((row, name))) for name in names]
                    seconds = [f"{self.seconds[model, row]:.3g}"] if self.seconds else []
                    grid.append([row, *numbers, str(max(counts, default=0)), *seconds])
            yield f"{metric} · {model}", grid


def write_tables(table: Table, folder: Path) -> list[Path]:
    """Write summary.md, summary.csv, summary.tex and summary.html.

    Raises:
        DataError: the disk says no.
    """
    forms: dict[str, Callable[[Table], str]] = {"md": _markdown, "csv": _csv, "tex": _latex, "html": _page}
    files: list[Path] = []
    for suffix, form in forms.items():
        files.append(folder / f"summary.{suffix}")
        with whole_file(files[-1]) as part:
            part.write_text(form(table), encoding="utf-8")
    return files


def _text(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    star = "*" if cell.p < _SURE else ""
    return f"{cell.value:.4f}{star} [{cell.low:.4f}, {cell.high:.4f}]"


def _markdown(table: Table) -> str:
    lines = [f"# {table.title}", "", table.legend]
    for heading, grid in table.grids():
        lines += ["", f"## {heading}", ""]
        for at, row in enumerate(grid):
            lines.append("| " + " | ".join(each.replace("|", r"\|").replace("*", r"\*") for each in row) + " |")
            if at == 0:
                lines.append("|---" + "|---:" * (len(row) - 1) + "|")
    notes = [f"- {note}" for note in table.notes]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


def _csv(table: Table) -> str:
    names = [item.name for item in fields(Cell)]
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, *(["seconds_per_picture"] if table.seconds else [])])
    for cell in table.cells:
        values = [getattr(cell, name) for name in names]
        values += [table.seconds[cell.model, cell.method]] if table.seconds else []
        writer.writerow(["" if isinstance(value, float) and math.isnan(value) else value for value in values])
    return text.getvalue()


def _latex(table: Table) -> str:
    """Tables for booktabs."""
    lines = [f"% {table.title}", f"% {table.legend}"]
    for heading, grid in table.grids():
        columns = "l" + "r" * (len(grid[0]) - 1)
        body = [" & ".join(map(_escape, row)) + r" \\" for row in grid]
        lines += [r"\begin{table}", rf"\caption{{{_escape(heading)}}}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule"]
        lines += [body[0], r"\midrule", *body[1:], r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _escape(text: str) -> str:
    r"""Text that LaTeX prints as it is.

    >>> print(_escape("ag_cam at 5 %"))
    ag\_cam at 5 \%
    """
    words = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "·": r"$\cdot$",
        "–": "--",
    }
    return "".join(words.get(letter, f"\\{letter}" if letter in "&%$#_{}" else letter) for letter in text)


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{padding:.2rem .7rem;text-align:right}td:first-child,th:first-child"
    "{text-align:left}thead{border-bottom:2px solid}tr+tr{border-top:1px solid #8884}.scroll{overflow-x:auto}"
    ":root{color-scheme:light dark}"
)


def _page(table: Table) -> str:
    parts: list[str] = []
    for heading, (head, *body) in table.grids():
        columns = "".join(f'<th scope="col">{html.escape(each)}</th>' for each in head)
        rows = "".join("<tr>" + "".join(f"<td>{html.escape(each)}</td>" for each in row) + "</tr>" for row in body)
        parts.append(
            f'<h2>{html.escape(heading)}</h2><div class="scroll"><table><thead><tr>{columns}</tr></thead>'
            f"<tbody>{rows}</tbody></table></div>"
        )
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in table.notes)
    title = html.escape(table.title)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1><p>{html.escape(table.legend)}</p>"
        f"{''.join(parts)}{f'<ul>{notes}</ul>' if notes else ''}</html>\n"
    )
