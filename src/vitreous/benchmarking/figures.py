"""What a page shows beside its tables: charts, and the pictures that a method did best and worst on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np
import torch
from markupsafe import Markup

from vitreous.benchmarking.loop import ModelRun, open_batch
from vitreous.benchmarking.plan import Plan
from vitreous.data.samples import Entry
from vitreous.errors import ExplainError
from vitreous.explaining.explain import explain
from vitreous.methods import title_of
from vitreous.methods.method import SlowMethod
from vitreous.render import page
from vitreous.render.charts import Line, line_chart, point_chart
from vitreous.render.overlay import Scale, overlay
from vitreous.render.sheet import Panel, sheet
from vitreous.statistics.store import Key, Record
from vitreous.statistics.summary import Array, Values, each_picture
from vitreous.statistics.tables import Table
from vitreous.statistics.verdicts import headline
from vitreous.trace.target import Classes

__all__ = ["figures"]

_SHOWN = 2
"""Pictures at either end."""


def figures(
    plan: Plan, table: Table, runs: Mapping[str, ModelRun], records: Mapping[Key, Sequence[Record]]
) -> Iterator[tuple[str, Markup]]:
    """A heading and the HTML of each figure.

    The pictures at either end are explained anew, by all methods but the slow ones.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    yield from _curves(table)
    yield from _scatters(table, {spec: runs[spec] for spec in plan.models})
    yield from _examples(plan, table, runs, records)


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
        kinds = {metric: not {"boxes", "truth"}.isdisjoint(measure.reads()) for metric, measure in run.measures.items()}
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


def _examples(
    plan: Plan, table: Table, runs: Mapping[str, ModelRun], records: Mapping[Key, Sequence[Record]]
) -> Iterator[tuple[str, Markup]]:
    """All quick methods' maps of the pictures for which the reference's first metric is lowest and highest."""
    metric = next(iter(plan.metrics))
    for model in plan.models:
        run, key = runs[model], Key(plan.model_of(table.reference, model), table.reference, metric)
        values = Values.of(records.get(key, ()), [entry.id for entry in run.drawn])
        if values is None:
            continue
        numbers = each_picture(run.measures[metric], values)
        name = headline(list(numbers))
        for at in _ends(numbers[name]):
            heading = f"{run.drawn[at].id}: {name} of {table.reference} {numbers[name][at]:.3f} · {model}"
            explained = {row: runs[plan.model_of(row, model)] for row in plan.rows}
            if tag := _sheet_tag(plan, run, explained, run.drawn[at], heading):
                yield heading, tag


def _ends(numbers: Array) -> list[int]:
    """The rows with the highest numbers, then those with the lowest."""
    order = [int(at) for at in np.argsort(-numbers, kind="stable") if not np.isnan(numbers[at])]
    return [*order[:_SHOWN], *order[_SHOWN:][-_SHOWN:]]


def _sheet_tag(plan: Plan, run: ModelRun, explained: Mapping[str, ModelRun], entry: Entry, about: str) -> Markup | None:
    """The picture and every quick method's map of it; nothing if it can no longer be read."""
    if open_batch(plan, run, [entry])[0] is None:
        return None
    panels = [Panel("picture", run.preprocess.view(entry.open().picture))]
    panels += [
        _panel(plan, one, row, entry)
        for row, one in explained.items()
        if row not in one.refused and not isinstance(one.methods[row], SlowMethod)
    ]
    return page.picture(sheet(panels, title=entry.id), about)


def _panel(plan: Plan, run: ModelRun, row: str, entry: Entry) -> Panel:
    """One row's map of a picture."""
    batch, _ = open_batch(plan, run, [entry])
    if batch is None:
        return Panel(title_of(row), None, "no map")
    try:
        found = explain(run.subject, batch.images, run.methods[row], Classes(tuple(batch.target.tolist())))
        scale = Scale.of([found.heatmap[0]], signed=found.signed)
    except (ExplainError, torch.OutOfMemoryError):
        return Panel(title_of(row), None, "no map")
    picture = run.preprocess.view(entry.open().picture)
    return Panel(title_of(row), overlay(picture, found.heatmap[0], scale=scale, blocks=found.blocks), scale=scale)
