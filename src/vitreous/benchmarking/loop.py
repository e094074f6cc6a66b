"""The loop: every picture through every method, every metric on the one heat map; results are kept as they come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import torch

from vitreous.benchmarking.measuring import MeasuredBatch, TableRow, measure_batch
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

__all__ = ["ModelRun", "RowProgress", "complete_metric", "open_batch", "run_model"]


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
        methods, measures = make_methods(plan), {row: plan_metric(row, its) for row, its in plan.metrics.items()}
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


def run_model(plan: Plan, spec: str, run: ModelRun, store: Store) -> Iterator[tuple[RowProgress, ModelRun]]:
    """Measure every drawn picture that is not done yet; yield how far it is, and the run with what did not work."""
    finished = {key: done(records) for key, records in store.read().items()}
    total = len(run.drawn) * len(run.methods)
    for start in range(0, len(run.drawn), plan.batch_size):
        part = run.drawn[start : start + plan.batch_size]
        todo = {row: _todo(spec, row, part, run, finished) for row in run.methods}
        wanted = {picture for its in todo.values() for pictures in its.values() for picture in pictures}
        batch, unread = open_batch(plan, run, [entry for entry in part if entry.id in wanted])
        run = replace(run, unread={**run.unread, **unread})
        records: list[Record] = []
        if batch:
            known = finished.get(Key(spec, "", ""), set())
            hits = zip(batch.samples, batch.correct.tolist(), strict=True)
            records += [
                Record(spec, "", "", each.id, "correct", [float(hit)], each.label is not None)
                for each, hit in hits
                if each.id not in known
            ]
        for row, missing in todo.items():
            if batch and any(missing.values()) and row not in run.refused:
                try:
                    records += measure_batch(run.row(spec, row), batch, missing)
                except (ObservationError, RuleError, UnknownName) as error:
                    run = replace(run, refused={**run.refused, row: str(error)})
            yield RowProgress(spec, row, len(part), total), run
        if records:
            store.add(records)


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


def _todo(
    spec: str, row: str, part: Sequence[Entry], run: ModelRun, finished: Mapping[Key, set[str]]
) -> dict[str, set[str]]:
    if row in run.refused:
        return {}
    return {
        metric: {entry.id for entry in part} - finished.get(Key(spec, row, metric), set()) for metric in run.measures
    }


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
