"""Pictures on a benchmark's page: those that a method did best and worst on, every method's map, the boxes scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from markupsafe import Markup
from torch import Tensor

from vitreous.benchmarking.loop import ModelRun, open_batch
from vitreous.benchmarking.measuring import HEATMAP, MeasuredBatch
from vitreous.benchmarking.plan import Plan
from vitreous.data.samples import Entry
from vitreous.errors import ExplainError
from vitreous.explaining.explain import explain
from vitreous.methods import title_of
from vitreous.methods.method import BlockMethod, SlowMethod
from vitreous.metrics.localization import FindsBoxes
from vitreous.metrics.metric import scaled
from vitreous.render import page
from vitreous.render.boxes import FOUND, GIVEN, draw_boxes
from vitreous.render.overlay import Scale, overlay, upsample
from vitreous.render.sheet import Panel, sheet
from vitreous.statistics.store import Key, Record
from vitreous.statistics.summary import Array, Values, each_picture
from vitreous.statistics.verdicts import headline
from vitreous.trace.target import Classes

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["examples"]

_SHOWN = 2
"""Pictures at either end."""
Records = Mapping[Key, Sequence[Record]]


def examples(
    plan: Plan, reference: str, runs: Mapping[str, ModelRun], records: Records
) -> Iterator[tuple[str, Markup]]:
    """A heading and a sheet for the pictures for which the reference's first metric is highest and lowest."""
    metric = next(iter(plan.metrics))
    for model in plan.models:
        run, key = runs[model], Key(plan.model_of(reference, model), reference, metric)
        values = Values.of(records.get(key, ()), [entry.id for entry in run.drawn])
        if values is None:
            continue
        numbers = each_picture(run.measures[metric], values)
        name = headline(list(numbers))
        for at in _ends(numbers[name]):
            heading = f"{run.drawn[at].id}: {name} of {reference} {numbers[name][at]:.3f} · {plan.called[model]}"
            if drawn := _Example(plan, model, runs, records, run.drawn[at]).sheet():
                yield heading, page.picture(drawn, heading)


def _ends(numbers: Array) -> list[int]:
    """The rows with the highest numbers, then those with the lowest."""
    order = [int(at) for at in np.argsort(-numbers, kind="stable") if not np.isnan(numbers[at])]
    return [*order[:_SHOWN], *order[_SHOWN:][-_SHOWN:]]


@dataclass(frozen=True)
class _Example:
    """One picture, and what a model's rows made of it."""

    plan: Plan
    model: str
    runs: Mapping[str, ModelRun]
    records: Records
    entry: Entry

    def sheet(self) -> Image | None:
        """The picture and the rows' maps of it, with the boxes that are scored; None if it can no longer be read."""
        run = self.runs[self.model]
        batch, _ = open_batch(self.plan, run, [self.entry])
        if batch is None:
            return None
        rows = [row for row in self.plan.rows if row not in self.runs[self.plan.model_of(row, self.model)].refused]
        panels = [self._panel(row) for row in rows if self._kept(row) is not None or not self._slow(row)]
        panels = [Panel("picture", _with_given(run, batch, self._view(run))), *panels]
        return sheet(panels, title=self.entry.id, subtitle=_legend(run, batch))

    def _slow(self, row: str) -> bool:
        return isinstance(self.runs[self.plan.model_of(row, self.model)].methods[row], SlowMethod)

    def _kept(self, row: str) -> Float[Tensor, "h w"] | None:
        """The map of a slow method, if the run left one."""
        records = self.records.get(Key(self.plan.model_of(row, self.model), row, ""), ())
        for record in reversed(records):
            if (record.picture, record.name) == (self.entry.id, HEATMAP):
                height, width = map(int, record.values[:2])
                return torch.tensor(record.values[2:]).view(height, width)
        return None

    def _panel(self, row: str) -> Panel:
        """One row's map, as it was kept or made anew."""
        run = self.runs[self.plan.model_of(row, self.model)]
        batch, _ = open_batch(self.plan, run, [self.entry])
        try:
            if batch is None:
                return Panel(title_of(row), None, "no map")
            heatmap = self._kept(row) if self._slow(row) else _explained(run, row, batch)
            assert heatmap is not None
            scale = Scale.of([heatmap], signed=bool(getattr(run.methods[row], "signed", False)))
        except (ExplainError, torch.OutOfMemoryError):
            return Panel(title_of(row), None, "no map")
        blocks = isinstance(run.methods[row], BlockMethod)
        shown = _with_given(run, batch, overlay(self._view(run), heatmap, scale=scale, blocks=blocks))
        if finder := _finder(run):
            size = _size(batch)
            values = scaled(upsample(heatmap, size, blocks=blocks)[None], size)
            shown = draw_boxes(shown, finder.boxes_of(values)[0], size, FOUND)
        return Panel(title_of(row), shown, scale=scale)

    def _view(self, run: ModelRun) -> Image:
        """What the model sees."""
        return run.preprocess.view(self.entry.open().picture)


def _with_given(run: ModelRun, batch: MeasuredBatch, shown: Image) -> Image:
    given = batch.samples[0].boxes
    return shown if given is None or not _judged(run) else draw_boxes(shown, given, _size(batch), GIVEN)


def _explained(run: ModelRun, row: str, batch: MeasuredBatch) -> Float[Tensor, "h w"]:
    target = Classes(tuple(batch.target.tolist()))
    return explain(run.subject, batch.images, run.methods[row], target).heatmap[0].cpu()


def _size(batch: MeasuredBatch) -> tuple[int, int]:
    return batch.images.shape[2], batch.images.shape[3]


def _judged(run: ModelRun) -> bool:
    """Whether any metric reads where objects are."""
    return any({"boxes", "truth"} & {*measure.input_names()} for measure in run.measures.values())


def _finder(run: ModelRun) -> FindsBoxes | None:
    """The first metric that finds boxes in maps."""
    return next((measure for measure in run.measures.values() if isinstance(measure, FindsBoxes)), None)


def _legend(run: ModelRun, batch: MeasuredBatch) -> str:
    """Whose boxes are drawn."""
    said = ["green: boxes given"] if batch.samples[0].boxes is not None and _judged(run) else []
    row = next((name for name, measure in run.measures.items() if isinstance(measure, FindsBoxes)), "")
    return " · ".join([*said, *([f"cyan: boxes that {row} finds in the map"] if row else [])])
