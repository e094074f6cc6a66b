"""The tables of a benchmark, and the notes below them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping

from vitreous.benchmarking.describe import plain_settings
from vitreous.benchmarking.loop import ModelRun
from vitreous.benchmarking.plan import Plan
from vitreous.data.samples import dataset_name
from vitreous.files.manifest import MANIFEST, versions
from vitreous.files.names import told_without_folders
from vitreous.methods.baseline import Baseline
from vitreous.metrics.metric import Metric
from vitreous.statistics.store import Key, Record
from vitreous.statistics.summary import Array, Cell, Values, mean_curves, median_cost, summarize
from vitreous.statistics.tables import Table

__all__ = ["tabulate"]


def tabulate(plan: Plan, runs: Mapping[str, ModelRun], records: Mapping[Key, list[Record]]) -> Table:
    """All numbers of the plan, from the records of every model's run."""
    reference, called = plan.reference or next(iter(plan.rows)), plan.called
    cells: list[Cell] = []
    notes: list[str] = []
    curves: dict[tuple[str, str, str], dict[str, Array]] = {}
    for spec, run in runs.items():
        if spec not in plan.models:
            rows = plan.rows_of(spec)
            notes.append(f"{', '.join(rows)} {'explain' if len(rows) > 1 else 'explains'} {called[spec]}.")
        drawn = {entry.id for entry in run.drawn}
        pictures = [entry.id for entry in run.samples.entries if entry.id in drawn]
        known = [record for record in records.get(Key(spec, "", ""), ()) if record.counted and record.picture in drawn]
        if known:
            right = sum(each.values[0] for each in known) / len(known)
            notes.append(f"{called[spec]} classifies {right:.1%} of {len(known)} pictures as their label says.")
        if run.matched == "position" and run.labels and run.subject.class_names:
            label, index = next(iter(run.labels.items()))
            names = run.samples.class_names[label], run.subject.class_names[index]
            notes.append(
                f"Labels are classes of {called[spec]} by their position: `{names[0]}` is its `{names[1]}`, and so on."
            )
        notes += [
            f"{row} does not apply to {called[spec]}: {told_without_folders(reason)}"
            for row, reason in run.refused.items()
        ]
        notes += [f"{picture} was left out: {told_without_folders(reason)}" for picture, reason in run.unread.items()]
        parameter = next(run.subject.model.parameters())
        where = f"{str(parameter.dtype).removeprefix('torch.')} on {parameter.device}"
        notes.append(
            f"{len(drawn)} of {len(run.samples)} pictures of {dataset_name(plan.dataset)}, seed {plan.seed}, "
            f"{plan.resamples} resamples; the {plan.target} class is explained, in {where}."
        )
    for spec in plan.models:
        run = runs[spec]
        drawn = {entry.id for entry in run.drawn}
        pictures = [entry.id for entry in run.samples.entries if entry.id in drawn]
        for metric in plan.metrics:
            of_rows = {row: records.get(Key(plan.model_of(row, spec), row, metric), []) for row in plan.rows}
            found = {row: values for row, each in of_rows.items() if (values := Values.of(each, pictures)) is not None}
            measure = run.measures[metric]
            model, resamples = called[spec], plan.resamples
            cells += summarize(model, metric, measure, found, reference=reference, resamples=resamples, seed=plan.seed)
            for row, values in found.items():
                for name, curve in mean_curves(measure, values).items():
                    curves.setdefault((called[spec], metric, name), {})[row] = curve
            notes += _failures(called[spec], metric, of_rows, drawn)
            if "truth" in measure.input_names() and found and not any(entry.mask for entry in run.samples.entries):
                notes.append(f"{metric} takes boxes for masks, since {dataset_name(plan.dataset)} has no masks.")
    costs = {
        name: {
            (called[spec], row): median_cost(records, plan.model_of(row, spec), row, name)
            for spec in plan.models
            for row in plan.rows
        }
        for name in ("seconds", "forwards")
    }
    used = ", ".join(f"{name} {number}" for name, number in versions().items())
    notes.append(f"{used}. The plan, all settings, checksums and the machine are in {MANIFEST}.")
    title = f"{', '.join(plan.metrics)} on {dataset_name(plan.dataset)}"
    measures = next(iter(runs.values())).measures
    settings = {
        (called[spec], metric): _settings(plan, measure)
        for spec in plan.models
        for metric, measure in runs[spec].measures.items()
    }
    said = list(dict.fromkeys(notes))
    methods = {row: method for run in runs.values() for row, method in run.methods.items()}
    noise = [row for row in plan.rows if isinstance(methods.get(row), Baseline)]
    return Table(title, cells, curves, costs, list(plan.rows), reference, said, measures, settings, noise)


def _settings(plan: Plan, measure: Metric) -> str:
    """Everything that a number of this metric depends on, in the words of a plan."""
    values = {
        "target": plan.target,
        "follow": plan.follow or plan.target,
        "whole": plan.whole,
        **plain_settings(measure),
    }
    told = {name: value for name, value in values.items() if name != "batch_size" and value is not None}
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in told.items())


def _failures(model: str, metric: str, records: Mapping[str, list[Record]], drawn: set[str]) -> Iterator[str]:
    """Why pictures have no value, and how many; methods with the same to say of them share a line."""
    rows: dict[tuple[str, int], list[str]] = {}
    for row, told in records.items():
        last = {record.picture: record for record in told}  # one that was tried again may have a value now
        reasons = Counter(record.error for record in last.values() if record.error and record.picture in drawn)
        for cause in reasons.items():
            rows.setdefault(cause, []).append(row)
    for (reason, count), names in rows.items():
        methods = "any method" if len(names) == len(records) else ", ".join(names)
        pictures = "1 picture" if count == 1 else f"{count} pictures"
        yield f"{metric} says nothing of {methods} on {pictures} ({model}): {reason.rstrip('.')}."
