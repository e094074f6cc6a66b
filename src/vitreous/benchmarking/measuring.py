"""One batch: a heat map per picture by one method, and what every metric says of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from vitreous.benchmarking.truth import PreparedSample
from vitreous.errors import DegenerateMap, ExplainError, ObservationError, RuleError, UnknownName
from vitreous.explaining.explain import explain
from vitreous.explaining.method_settings import settings_of
from vitreous.methods.method import BlockMethod, Method, SlowMethod
from vitreous.metrics.metric import Inputs, Metric
from vitreous.models.loaded import LoadedModel
from vitreous.shapes import Heatmap, Images, TargetClass
from vitreous.statistics.store import Key, Record
from vitreous.trace.once import measuring_once
from vitreous.trace.reading import Reading, reading
from vitreous.trace.target import Classes

__all__ = ["HEATMAP", "Failure", "MeasuredBatch", "Missing", "Numbers", "TableRow", "judge", "measure_batch"]

HEATMAP = "heatmap"
"""Name of the record that holds a slow method's map: its height, its width, its numbers row by row."""

T = TypeVar("T")

Numbers = tuple[Mapping[str, list[float]], bool]
"""What a metric says of a picture, by name; and whether it counts."""
Missing = Mapping[str, set[str]]
"""By metric, the pictures that it has not judged."""


@dataclass(frozen=True)
class MeasuredBatch:
    """Pictures that run at once.

    Attributes:
        samples: the pictures.
        images: the model's input.
        target: the classes explained.
        follow: the classes whose score a metric follows; −1 where that is an unknown label.
        correct: whether the label is the predicted class.
    """

    samples: list[PreparedSample]
    images: Images
    target: TargetClass
    follow: TargetClass
    correct: Bool[Tensor, " batch"]

    def part(self, rows: Sequence[int]) -> MeasuredBatch:
        """Some of them."""
        at = torch.tensor(rows, device=self.images.device)
        return MeasuredBatch(
            [self.samples[row] for row in rows], self.images[at], self.target[at], self.follow[at], self.correct[at]
        )


@dataclass(frozen=True)
class Failure:
    """Why a picture has no map or no numbers, and whether it may have them another time."""

    reason: str
    passing: bool = False


@dataclass(frozen=True)
class TableRow:
    """One model and method, and what measures them.

    Attributes:
        model: spec.
        name: of the row.
        subject: the model itself.
        method: with what it has to know of the model.
        measures: by name, likewise.
    """

    model: str
    name: str
    subject: LoadedModel
    method: Method
    measures: Mapping[str, Metric]


def measure_batch(row: TableRow, batch: MeasuredBatch, missing: Missing) -> list[Record]:
    """Every picture's heat map by one method, and what the metrics that lack it say of it.

    Raises:
        ObservationError, RuleError, UnknownName: the method does not apply to the model.
    """
    anywhere = set[str]().union(*missing.values())
    rows = [at for at, each in enumerate(batch.samples) if each.id in anywhere]
    if not rows:  # those that it lacks cannot be read
        return []
    batch = batch.part(rows)

    def heat(some: MeasuredBatch) -> list[tuple[Tensor, dict[str, float]]]:
        began = _now(some.images)
        target = Classes(tuple(some.target.tolist()))
        others = [each for each in settings_of(row.method).values() if isinstance(each, nn.Module)]
        with _forwards([row.subject.model, *others]) as passes:
            found = explain(row.subject, some.images, row.method, target, batch_size=len(some.images))
        seconds = _now(some.images) - began
        cost = {"seconds": seconds / len(some.images), "forwards": sum(passes) / len(some.images)}
        return [(each, cost) for each in found.heatmap]

    maps = _attempt(lambda some: heat(batch.part(some)), range(len(batch.samples)))
    records: list[Record] = []
    good = [at for at, each in enumerate(maps) if not isinstance(each, Failure)]
    for sample, found in zip(batch.samples, maps, strict=True):
        if isinstance(found, Failure):
            records += [
                Record(row.model, row.name, metric, sample.id, error=found.reason, passing=found.passing)
                for metric, pictures in missing.items()
                if sample.id in pictures
            ]
        else:
            heatmap, costs = found
            records += [Record(row.model, row.name, "", sample.id, name, [cost]) for name, cost in costs.items()]
            if isinstance(row.method, SlowMethod):  # the page draws it, and does not make it again
                numbers = [*map(float, heatmap.shape), *heatmap.double().flatten().tolist()]
                records.append(Record(row.model, row.name, "", sample.id, HEATMAP, numbers))
    if not good:
        return records
    heatmap = torch.stack([each[0] for each in maps if not isinstance(each, Failure)])
    seen = batch.part(good)
    for metric, pictures in missing.items():
        rows = [at for at, each in enumerate(seen.samples) if each.id in pictures]
        inputs = _inputs(row, seen, heatmap)
        lacking = {at: lack for at in rows if (lack := row.measures[metric].lack(inputs, at))}
        records += [
            Record(row.model, row.name, metric, seen.samples[at].id, error=lack) for at, lack in lacking.items()
        ]
        if rows := [at for at in rows if at not in lacking]:
            records += _measure(row, metric, seen.part(rows), heatmap[rows])
    return records


def _measure(row: TableRow, metric: str, batch: MeasuredBatch, heatmap: Heatmap) -> list[Record]:
    """What a metric says of each picture, or why it says nothing."""
    key = Key(row.model, row.name, metric)
    how = row.subject.reading
    said = judge(
        row.measures[metric], metric, how, lambda some: _inputs(row, batch.part(some), heatmap[some]), len(heatmap)
    )
    records: list[Record] = []
    for each, found in zip(batch.samples, said, strict=True):
        if isinstance(found, Failure):
            records.append(Record(*key, each.id, error=found.reason, passing=found.passing))
        else:
            numbers, counted = found
            records += [Record(*key, each.id, name, value, counted) for name, value in numbers.items()]
    return records


def judge(
    measure: Metric, name: str, how: Reading, inputs: Callable[[list[int]], Inputs], count: int
) -> list[Numbers | Failure]:
    """What a metric says of each picture, or why it says nothing. Pictures that fail together are asked one by one.

    Args:
        measure: the metric.
        name: of it, for messages.
        how: the model is read.
        inputs: of some of the pictures.
        count: of all.

    Raises:
        ObservationError, RuleError, UnknownName: it would fail for every picture.
    """

    def say(some: list[int]) -> list[Numbers]:
        with measuring_once(), reading(how):
            values = measure.of(inputs(some))
        counted = values.pop("counted", torch.ones(len(some), dtype=torch.bool)).tolist()
        numbers = {
            each: value.double().flatten(1) if value.ndim > 1 else value.double()[:, None]
            for each, value in values.items()
        }
        for each, value in numbers.items():
            if not value.isfinite().all():
                bad = int((~value.isfinite().all(1)).nonzero()[0, 0])
                raise DegenerateMap(f"`{name}` gave a `{each}` of NaN or infinity", bad, "Look at the map.")
        return [({each: value[at].tolist() for each, value in numbers.items()}, counted[at]) for at in range(len(some))]

    return _attempt(say, range(count))


def _inputs(row: TableRow, batch: MeasuredBatch, heatmap: Heatmap) -> Inputs:
    target = Classes(tuple(batch.target.tolist()))
    return Inputs(
        heatmap,
        batch.images,
        row.subject.model,
        lambda model, images: row.method(model, images, target).heatmap,
        batch.follow,
        [None if each.label is None else hit for each, hit in zip(batch.samples, batch.correct.tolist(), strict=True)],
        [each.boxes for each in batch.samples],
        [each.mask for each in batch.samples],
        isinstance(row.method, BlockMethod),
    )


def _attempt(ask: Callable[[list[int]], list[T]], rows: Sequence[int]) -> list[T | Failure]:
    """An answer per picture, or why there is none. A batch that fails is tried again one by one.

    Raises:
        ObservationError, RuleError, UnknownName: it would fail for every picture.
    """
    try:
        return [*ask([*rows])]
    except (ObservationError, RuleError, UnknownName):
        raise
    except ExplainError as error:
        if len(rows) == 1:
            return [Failure(error.alone)]
    except torch.OutOfMemoryError:
        if len(rows) == 1:
            return [
                Failure("there is not enough memory. Run again where more is free: it is tried again", passing=True)
            ]
    return [answer for at in rows for answer in _attempt(ask, [at])]


@contextmanager
def _forwards(models: Sequence[nn.Module]) -> Generator[list[int]]:
    """How many images each call of any of the models has, as they come; what ends before the end is no pass."""
    passes: list[int] = []

    def count(_: nn.Module, inputs: tuple[Tensor, ...], __: Any) -> None:
        passes.append(len(inputs[0]))

    handles = [model.register_forward_hook(count) for model in models]
    try:
        yield passes
    finally:
        for handle in handles:
            handle.remove()


def _now(images: Images) -> float:
    if images.is_cuda:
        torch.cuda.synchronize(images.device)
    return time.perf_counter()
