"""What a page shows beside its tables: charts, and the pictures that a method did best and worst on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from markupsafe import Markup

from vitreous.benchmarking.examples import examples
from vitreous.benchmarking.loop import ModelRun
from vitreous.benchmarking.plan import Plan
from vitreous.render import page
from vitreous.render.charts import Line, line_chart, point_chart
from vitreous.statistics.store import Key, Record
from vitreous.statistics.tables import Table
from vitreous.statistics.verdicts import headline

__all__ = ["figures"]


def figures(
    plan: Plan, table: Table, runs: Mapping[str, ModelRun], records: Mapping[Key, Sequence[Record]]
) -> Iterator[tuple[str, Markup]]:
    """A heading and the HTML of each figure.

    The pictures at either end are explained anew, but by slow methods, whose maps were kept.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    yield from _curves(table)
    yield from _scatters(table, {plan.called[spec]: runs[spec] for spec in plan.models})
    yield from examples(plan, table.reference, runs, records)


def _curves(table: Table) -> Iterator[tuple[str, Markup]]:
    """A chart per model and curve, a line per method."""
    for (model, metric, name), curves in table.curves.items():
        axes = table.measures[metric].axes(name, len(next(iter(curves.values()))))
        lines = {row: Line(axes.x, curve.tolist()) for row, curve in curves.items()}
        heading = f"{metric}: {axes.title} · {model}"
        yield heading, page.chart(line_chart({"": lines}, x=axes.across, y=axes.up), f"{heading}, a line per method")


def _scatters(table: Table, runs: Mapping[str, ModelRun]) -> Iterator[tuple[str, Markup]]:
    """Where maps point against how faithful they are, per model."""
    for model, run in runs.items():
        kinds = {
            metric: not {"boxes", "truth"}.isdisjoint(measure.input_names()) for metric, measure in run.measures.items()
        }
        places, faiths = ([metric for metric, place in kinds.items() if place is wanted] for wanted in (True, False))
        for place, faith in product(places, faiths):
            across, up = (_by_row(table, model, metric) for metric in (place, faith))
            if shared := [row for row in across[1] if row in up[1]]:
                points = {row: (across[1][row], up[1][row]) for row in shared}
                x, y = f"{place}: {across[0]}", f"{faith}: {up[0]}"
                yield f"{y} against {x} · {model}", page.chart(point_chart(points, x=x, y=y), f"{y} against {x}")


def _by_row(table: Table, model: str, metric: str) -> tuple[str, dict[str, float]]:
    """The number that stands for a metric, and its value for each method."""
    cells = [cell for cell in table.cells if (cell.model, cell.metric) == (model, metric)]
    name = headline([cell.name for cell in cells])
    return name, {cell.method: cell.value for cell in cells if cell.name == name}
