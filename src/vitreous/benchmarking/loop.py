"""The loop: every picture through every method, every metric on the one heat map; results are kept as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import torch

from vitreous.benchmarking.measuring import MeasuredBatch, Missing, TableRow, measure_batch
from vitreous.benchmarking.plan import Plan, make_methods, plan_metric
from vitreous.benchmarking.truth import PreparedSample, prepare_sample
from vitreous.data.readers import open_samples
from vitreous.data.samples import Entry, Samples, draw
from vitreous.errors import DataError, NotFinite, ObservationError, RuleError, UnknownName
from vitreous.explaining.labels import match_labels
from vitreous.explaining.method_settings import complete_method
from vitreous.methods.method import Method
from vitreous.metrics.metric import Metric
from vitreous.models.loaded import LoadedModel
from vitreous.models.preprocess import Preprocess
from vitreous.models.zoo import load
from vitreous.statistics.store import Key, Record, Store, done
from vitreous.trace.classifier import check_classifier
from vitreous.trace.reading import reading
from vitreous.trace.recorder import record
from vitreous.trace.target import Predicted

__all__ = ["Elsewhere", "ModelRun", "Part", "RowProgress", "complete_metric", "measure_part", "open_batch", "run_model"]


@dataclass(frozen=True)
class RowProgress:
    """Some pictures are through one method: how many of how many."""

    model: str
    method: str
    pictures: int
    total: int


@dataclass(frozen=True)
class ModelRun:
    """One model on its way through the plan.

    Attributes:
        subject: the model.
        preprocess: what it does to pictures, or the plan's own way.
        methods: by row, with what it has to know of the model.
        measures: by row, with what it has to know of the model.
        samples: the data set.
        drawn: those of its pictures that the plan draws, in the order in which they run.
        labels: the model's index of each of its labels.
        matched: how these were found.
        refused: by row, why a method does not apply to the model.
        unread: by picture, why it could not be read.
    """

    subject: LoadedModel
    preprocess: Preprocess
    methods: Mapping[str, Method]
    measures: Mapping[str, Metric]
    samples: Samples
    drawn: Sequence[Entry]
    labels: Mapping[int, int]
    matched: str
    refused: Mapping[str, str] = field(default_factory=dict[str, str])
    unread: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def start(cls, plan: Plan, spec: str, device: torch.device, dtype: torch.dtype) -> ModelRun:
        """Load everything that a model's part of the plan needs.

        Raises:
            ExplainError: something that the plan names is not there, or does not fit.
        """
        samples = open_samples(plan.dataset, plan.window)
        methods, measures = (
            make_methods(plan),
            {row: plan_metric(row, settings) for row, settings in plan.metrics.items()},
        )
        subject = load(spec, device=device, dtype=dtype, **plan.reading.said())
        preprocess = _whole(subject.prepared()) if plan.whole else subject.prepared()
        used = {entry.label for entry in samples.entries if entry.label is not None}
        labels, matched = match_labels(samples.class_names, used, subject.class_names, plan.labels)
        if not labels and plan.target == "label":
            raise DataError(
                f"the labels of `{plan.dataset}` mean nothing to `{spec}`: their names are not its class names, and "
                "their number is another. Explain the predicted class, or match labels by position."
            )
        return cls(
            subject,
            preprocess,
            {row: complete_method(methods[row], subject) for row in plan.rows_of(spec)},
            {row: complete_metric(measure, subject) for row, measure in measures.items()},
            samples,
            draw(samples.entries, plan.limit, plan.seed),
            labels,
            matched,
        )

    def row(self, spec: str, name: str) -> TableRow:
        """One method of it."""
        return TableRow(spec, name, self.subject, self.methods[name], self.measures)


@dataclass(frozen=True)
class Part:
    """Pictures that run at once, and what is to be measured of them.

    Attributes:
        first: the place of the first among those drawn.
        todo: by row and metric, the pictures that are not measured.
        judged: those of which it is known whether the model is right.
    """

    first: int
    todo: Mapping[str, Missing]
    judged: frozenset[str]


Elsewhere = Callable[[Iterator[Part]], Iterator[tuple[Part, Sequence[Record], Mapping[str, str], Mapping[str, str]]]]
"""From parts to each with its records, why rows do not apply to the model, and why pictures could not be read."""


def run_model(
    plan: Plan, spec: str, run: ModelRun, store: Store, elsewhere: Elsewhere | None = None
) -> Iterator[tuple[RowProgress, ModelRun]]:
    """Measure every drawn picture that is not done yet; yield how far it is, and the run with what did not work.

    Args:
        plan: what to measure.
        spec: the model.
        run: it, on its way.
        store: for the results, to which nobody else adds.
        elsewhere: what measures parts in other processes; here by default.
    """
    finished = {key: done(records) for key, records in store.read().items()}
    total = len(run.drawn) * len(run.methods)
    parts = (_part(plan, spec, run, first, finished) for first in range(0, len(run.drawn), plan.batch_size))
    if elsewhere:
        for part, measured, refused, unread in elsewhere(parts):
            run = replace(run, refused={**run.refused, **refused}, unread={**run.unread, **unread})
            if measured:
                store.add(measured)
            size = len(run.drawn[part.first : part.first + plan.batch_size])
            for row in run.methods:
                yield RowProgress(spec, row, size, total), run
        return
    for part in parts:
        records: list[Record] = []
        size = len(run.drawn[part.first : part.first + plan.batch_size])
        for row, run, found in measure_part(plan, spec, run, part):  # noqa: B020  # what does not apply is not tried again
            records += found
            yield RowProgress(spec, row, size, total), run
        if records:
            store.add(records)


def _part(plan: Plan, spec: str, run: ModelRun, first: int, finished: Mapping[Key, set[str]]) -> Part:
    pictures = {entry.id for entry in run.drawn[first : first + plan.batch_size]}
    todo = {
        row: {metric: pictures - finished.get(Key(spec, row, metric), set()) for metric in run.measures}
        for row in run.methods
    }
    return Part(first, todo, frozenset(pictures & finished.get(Key(spec, "", ""), set())))


def measure_part(plan: Plan, spec: str, run: ModelRun, part: Part) -> Iterator[tuple[str, ModelRun, list[Record]]]:
    """Measure what is missing of some pictures: row by row its records, and the run with what did not work."""
    entries = run.drawn[part.first : part.first + plan.batch_size]
    todo = {row: {} if row in run.refused else missing for row, missing in part.todo.items()}
    wanted = {picture for metrics in todo.values() for pictures in metrics.values() for picture in pictures}
    batch, unread = open_batch(plan, run, [entry for entry in entries if entry.id in wanted])
    run = replace(run, unread={**run.unread, **unread})
    records: list[Record] = []
    if batch:
        hits = zip(batch.samples, batch.correct.tolist(), strict=True)
        records += [
            Record(spec, "", "", each.id, "correct", [float(hit)], each.label is not None)
            for each, hit in hits
            if each.id not in part.judged
        ]
    for row, missing in todo.items():
        if batch and any(missing.values()):
            try:
                records += measure_batch(run.row(spec, row), batch, missing)
            except (ObservationError, RuleError, UnknownName) as error:
                run = replace(run, refused={**run.refused, row: str(error)})
        yield row, run, records
        records = []


def _whole(preprocess: Preprocess) -> Preprocess:
    """The same, but the whole picture is squashed into the input."""
    return replace(preprocess, resize=preprocess.size, keep_ratio=False, interpolation="bilinear", border=False)


def complete_metric(measure: Metric, subject: LoadedModel) -> Metric:
    """The metric, with how the model normalizes pixels where that was left empty."""
    empty = [
        item.name for item in fields(measure) if item.name in ("mean", "std") and getattr(measure, item.name) == ()
    ]
    if not empty or subject.preprocess is None:
        return measure
    return replace(measure, **{name: getattr(subject.preprocess, name) for name in empty})


def open_batch(plan: Plan, run: ModelRun, entries: Sequence[Entry]) -> tuple[MeasuredBatch | None, dict[str, str]]:
    """The pictures that can be read and have the label that the plan needs, if any; and why others are left out."""
    subject, samples, unread = run.subject, list[PreparedSample](), dict[str, str]()
    for entry in entries:
        label = run.labels.get(entry.label) if entry.label is not None else None
        try:
            if label is None and plan.target == "label":
                raise DataError(f"`{entry.id}` has no label that the model knows. Explain the predicted class.")
            samples.append(prepare_sample(entry.open(), run.preprocess, label))
        except DataError as error:
            unread[entry.id] = str(error)
    if not samples:
        return None, unread
    images = torch.stack([each.image for each in samples]).to(next(subject.model.parameters()))
    try:
        with reading(subject.reading):
            check_classifier(subject.model, images)
            predicted = Predicted()(record(subject.model, images).logits).argmax(1)
    except NotFinite as error:
        return _leave_out(plan, run, entries, error)
    label = torch.tensor([-1 if each.label is None else each.label for each in samples]).to(predicted)
    target = label if plan.target == "label" else predicted
    follow = {"": target, "label": label, "predicted": predicted}[plan.follow]
    return MeasuredBatch(samples, images, target, follow, predicted == label), unread


def _leave_out(
    plan: Plan, run: ModelRun, entries: Sequence[Entry], error: NotFinite
) -> tuple[MeasuredBatch | None, dict[str, str]]:
    """The batch without the pictures that have no finite class scores; and why these are left out.

    Raises:
        NotFinite: each has some alone, and together they have not.
    """
    if len(entries) == 1:
        return None, {entries[0].id: str(error)}
    alone = {entry.id: open_batch(plan, run, [entry]) for entry in entries}
    kept = [entry for entry in entries if alone[entry.id][0]]
    if len(kept) == len(entries):
        raise error
    unread = {picture: why for _, reasons in alone.values() for picture, why in reasons.items()}
    return (open_batch(plan, run, kept)[0] if kept else None), unread
