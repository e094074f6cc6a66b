"""The table as Markdown, CSV, LaTeX and a page."""

from __future__ import annotations

import csv
import inspect
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from io import StringIO
from pathlib import Path

from markupsafe import Markup

from vitreous.files.writing import whole_file
from vitreous.metrics.metric import Metric
from vitreous.render import page
from vitreous.statistics.summary import Array, Cell, holm
from vitreous.statistics.verdicts import headline, verdict

__all__ = ["Table", "write_page", "write_tables"]

_SURE = 0.05


@dataclass(frozen=True)
class Table:
    """Everything that is reported.

    Attributes:
        title: what was measured on what.
        cells: the numbers.
        curves: by model, metric and name, each row's mean curve.
        costs: what a heat map costs, by kind ("seconds", "forwards": forward passes of all models that the method runs,
            backward passes not counted), then by model and row.
        rows: the methods, in order.
        reference: the row that the others are compared with.
        notes: sentences under the tables: refusals, pictures that do not count.
        measures: by metric, what it is, where that is not told in the notes.
        settings: by model and metric, what the numbers depend on, in the words of a plan.
        noise: the rows that know nothing of the model.
        shown: by the name of a number, how people are told of it, where that is another than in the CSV.
    """

    title: str
    cells: Sequence[Cell]
    curves: Mapping[tuple[str, str, str], Mapping[str, Array]]
    costs: Mapping[str, Mapping[tuple[str, str], float]]
    rows: Sequence[str]
    reference: str
    notes: Sequence[str] = ()
    measures: Mapping[str, Metric] = field(default_factory=dict[str, Metric])
    settings: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    noise: Sequence[str] = ()
    shown: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def legend(self) -> str:
        """How to read it."""
        said = [
            "Value [95 % bootstrap interval over pictures].",
            f"* differs from {self.reference} by a paired bootstrap, p < {_SURE:g} after Holm's correction for the "
            "number of rows; that of columns is not corrected for.",
        ]
        if self.measures:
            said.insert(1, "↑ more is better, ↓ less; shares are from 0 to 1.")
        if self.costs:
            said.append("A heat map's cost is the median; backward passes are not counted.")
        return " ".join(said)

    @cached_property
    def chances(self) -> Mapping[tuple[str, ...], float]:
        """By model, method, metric and name, p after Holm's correction for the rows tested for that number."""
        tested: defaultdict[tuple[str, ...], list[Cell]] = defaultdict(list)
        for cell in self.cells:
            if not math.isnan(cell.p):
                tested[cell.model, cell.metric, cell.name].append(cell)
        return {
            _place(cell): chance
            for cells in tested.values()
            for cell, chance in zip(cells, holm([cell.p for cell in cells]), strict=True)
        }

    @property
    def remarks(self) -> list[str]:
        """What stands under the tables: the settings of each metric, then the notes."""
        return [
            *(f"{metric} · {model}: {settings}." for (model, metric), settings in self.settings.items()),
            *self.notes,
        ]

    def grids(self) -> Iterator[tuple[str, str, list[list[str]]]]:
        """Per model and metric a heading, what the numbers are, and texts in rows, the first of column names."""
        for model, metric in dict.fromkeys((cell.model, cell.metric) for cell in self.cells):
            cells = [cell for cell in self.cells if (cell.model, cell.metric) == (model, metric)]
            names = list(dict.fromkeys(cell.name for cell in cells))
            at = {(cell.method, cell.name): cell for cell in cells}
            measure = self.measures.get(metric)
            heads = (
                [f"{name} {measure.quantities[name].better}" for name in names]
                if measure
                else [self.shown.get(name, name) for name in names]
            )
            grid = [["method", *heads, "pictures", *(f"{kind}/picture" for kind in self.costs)]]
            for row in self.rows:
                counts = [cell.pictures for cell in cells if cell.method == row]
                if counts or any((model, row) in cost for cost in self.costs.values()):
                    numbers = [self._text(at.get((row, name))) for name in names]
                    costs = [_cost(cost[model, row]) for cost in self.costs.values()]
                    grid.append([row, *numbers, str(max(counts, default=0)), *costs])
            yield f"{metric} · {model}", _about(measure, names) if measure else "", grid

    def _text(self, cell: Cell | None) -> str:
        if cell is None:
            return "–"
        star = "*" if self.chances.get(_place(cell), 1) < _SURE else ""
        return f"{cell.value:.4f}{star} [{cell.low:.4f}, {cell.high:.4f}]"


def write_tables(table: Table, folder: Path) -> list[Path]:
    """Write summary.md, summary.csv and summary.tex.

    Raises:
        DataError: the disk says no.
    """
    forms: dict[str, Callable[[Table], str]] = {"md": _markdown, "csv": _csv, "tex": _latex}
    files: list[Path] = []
    for suffix, form in forms.items():
        files.append(folder / f"summary.{suffix}")
        with whole_file(files[-1]) as part:
            part.write_text(form(table), encoding="utf-8")
    return files


def write_page(table: Table, figures: Iterable[tuple[str, Markup]], file: Path) -> Path:
    """Write one HTML file that needs nothing beside it: the tables, then the figures by their headings.

    Raises:
        DataError: the disk says no.
    """
    parts = [page.paragraph(each) for each in _missing(table)]
    parts += [page.items(said)] if (said := _verdicts(table)) else []
    parts += [page.paragraph(table.legend)]
    for heading, about, grid in table.grids():
        parts += [page.heading(heading), *([page.paragraph(about)] if about else []), page.table(grid)]
    for heading, tag in figures:
        parts += [page.heading(heading), tag]
    parts += [page.items(remarks)] if (remarks := table.remarks) else []
    with whole_file(file) as part:
        part.write_text(page.page(table.title, parts), encoding="utf-8")
    return file


def _missing(table: Table) -> list[str]:
    """That there is nothing of some metrics, first of all."""
    known = {cell.metric for cell in table.cells}
    missing = [metric for metric in table.measures if metric not in known]
    told = {metric: [note for note in table.notes if note.startswith(f"{metric} says nothing")] for metric in missing}
    return [" ".join([f"There is no number of {metric}.", *notes]) for metric, notes in told.items()]


def _verdicts(table: Table) -> list[str]:
    """A sentence for each model and metric."""
    found: list[str] = []
    for model, metric in dict.fromkeys((cell.model, cell.metric) for cell in table.cells):
        cells = [cell for cell in table.cells if (cell.model, cell.metric) == (model, metric)]
        name = headline(list(dict.fromkeys(cell.name for cell in cells)))
        if metric in table.measures:
            shown = [cell for cell in cells if cell.name == name]
            said = verdict(shown, table.noise, table.measures[metric].quantities[name])
            found += [f"{metric} · {model}: {said}"] if said else []
    return found


def _cost(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3g}"


def _place(cell: Cell) -> tuple[str, ...]:
    return cell.model, cell.method, cell.metric, cell.name


def _about(measure: Metric, names: Sequence[str]) -> str:
    """What a metric is, each of these numbers of it, and its source."""
    first = (inspect.getdoc(measure) or "").partition("\n")[0]
    meanings = "; ".join(f"{name}: {measure.quantities[name].meaning}" for name in names)
    return f"{first} {meanings}. Source: {measure.source}."


def _markdown(table: Table) -> str:
    lines = [f"# {table.title}", "", table.legend]
    for heading, about, grid in table.grids():
        lines += ["", f"## {heading}", "", *([about, ""] if about else [])]
        for at, row in enumerate(grid):
            lines.append("| " + " | ".join(each.replace("|", r"\|").replace("*", r"\*") for each in row) + " |")
            if at == 0:
                lines.append("|---" + "|---:" * (len(row) - 1) + "|")
    remarks = [f"- {remark}" for remark in table.remarks]
    return "\n".join([*lines, *([""] if remarks else []), *remarks]) + "\n"


def _csv(table: Table) -> str:
    names = [item.name for item in fields(Cell)]
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    told = ["settings"] if table.settings else []
    writer.writerow([*names, "p_holm", *(f"{kind}_per_picture" for kind in table.costs), *told])
    for cell in table.cells:
        costs = [cost[cell.model, cell.method] for cost in table.costs.values()]
        chance = table.chances.get(_place(cell), math.nan)
        settings = [table.settings[cell.model, cell.metric]] if table.settings else []
        values = [*(getattr(cell, name) for name in names), chance, *costs, *settings]
        writer.writerow(["" if isinstance(value, float) and math.isnan(value) else value for value in values])
    return text.getvalue()


def _latex(table: Table) -> str:
    """Tables for booktabs."""
    lines = [f"% {line}" for line in (table.title, table.legend, *table.remarks)]
    for heading, about, grid in table.grids():
        columns = "l" + "r" * (len(grid[0]) - 1)
        body = [" & ".join(map(_escape, row)) + r" \\" for row in grid]
        lines += [f"% {about}"] if about else []
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
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
        "–": "--",
    }
    return "".join(words.get(letter, f"\\{letter}" if letter in "&%$#_{}" else letter) for letter in text)
