"""The whole job: run every model, keep a manifest, write the tables."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from vitreous.benchmarking.figures import figures
from vitreous.benchmarking.plan import Plan
from vitreous.benchmarking.run import ModelRun, Step, run_model
from vitreous.errors import DataError
from vitreous.explaining.fitting import settings_to_json
from vitreous.files.manifest import MANIFEST, change_manifest, now, versions
from vitreous.files.writing import alone_at, check_writable
from vitreous.metrics.judge import Judge
from vitreous.statistics.store import Key, Record, Store
from vitreous.statistics.summary import Array, Cell, Values, mean_curves, median_cost, summarize
from vitreous.statistics.tables import Table, write_page, write_tables

__all__ = ["Outcome", "benchmark"]


@dataclass(frozen=True)
class Outcome:
    """What a finished benchmark leaves.

    Attributes:
        table: all numbers.
        files: the written tables.
        refused: (model, row, reason) of every method that does not apply.
        unread: by picture, why it was left out.
    """

    table: Table
    files: list[Path]
    refused: list[tuple[str, str, str]]
    unread: Mapping[str, str]


def benchmark(
    plan: Plan,
    output: Path,
    *,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    tell: Callable[[Step], None] | None = None,
) -> Outcome:
    """Judge the plan's methods, and write results, manifest and tables. What an earlier run finished is not done again.

    Args:
        plan: what to measure.
        output: folder for results/*.parquet, manifest.json and summary.md, .csv, .tex and .html.
        device: where to compute.
        dtype: of the weights.
        tell: told how far each model is.

    Raises:
        DataError: the data set cannot be read, or the folder holds results of another plan.
        ExplainError: a name in the plan is unknown, or a model cannot be loaded.
    """
    check_writable(output)
    store = Store(output)
    runs: dict[str, ModelRun] = {}
    for spec in plan.models:
        run = runs[spec] = ModelRun.start(plan, spec, device, dtype)
        about = _describe(plan, spec, run, device, dtype)
        change_manifest(output, partial(_joined, new=about, folder=output))
        try:
            for step in run_model(plan, spec, run, store):
                if tell:
                    tell(step)
        finally:
            change_manifest(output, partial(_told, spec=spec, run=run))
    with alone_at(output / "summary"):  # the files belong together
        records = store.read()
        table = _tabulate(plan, runs, records)
        files = write_tables(table, output)
        page = write_page(table, figures(plan, table, runs, records), output / "summary.html")
    refused = [(spec, row, reason) for spec, run in runs.items() for row, reason in run.refused.items()]
    unread = {picture: reason for run in runs.values() for picture, reason in run.unread.items()}
    return Outcome(table, [*files, page], refused, unread)


def _tabulate(plan: Plan, runs: Mapping[str, ModelRun], records: Mapping[Key, list[Record]]) -> Table:
    reference = plan.reference or next(iter(plan.rows))
    cells: list[Cell] = []
    notes: list[str] = []
    curves: dict[tuple[str, str, str], dict[str, Array]] = {}
    for spec, run in runs.items():
        drawn = {entry.id for entry in run.drawn}
        pictures = [entry.id for entry in run.samples.entries if entry.id in drawn]
        known = [record for record in records.get(Key(spec, "", ""), ()) if record.counted and record.picture in drawn]
        if known:
            right = sum(each.values[0] for each in known) / len(known)
            notes.append(f"{spec} classifies {right:.1%} of {len(known)} pictures as their label says.")
        if run.matched == "position" and run.labels and run.subject.class_names:
            label, index = next(iter(run.labels.items()))
            names = run.samples.class_names[label], run.subject.class_names[index]
            notes.append(
                f"Labels are classes of {spec} by their position: `{names[0]}` is its `{names[1]}`, and so on."
            )
        for metric in plan.metrics:
            its = {row: records.get(Key(spec, row, metric), []) for row in plan.rows}
            found = {row: values for row, each in its.items() if (values := Values.of(each, pictures)) is not None}
            judge = run.judges[metric]
            cells += summarize(
                spec, metric, judge, found, reference=reference, resamples=plan.resamples, seed=plan.seed
            )
            for row, values in found.items():
                for name, curve in mean_curves(judge, values).items():
                    curves.setdefault((spec, metric, name), {})[row] = curve
            notes += _failures(spec, metric, its, drawn)
            if "truth" in judge.reads() and found and not any(entry.mask for entry in run.samples.entries):
                notes.append(f"{metric} takes boxes for masks, since {plan.dataset} has no masks.")
        notes += [f"{row} does not apply to {spec}: {reason}" for row, reason in run.refused.items()]
        notes += [f"{picture} was left out: {reason}" for picture, reason in run.unread.items()]
        parameter = next(run.subject.model.parameters())
        where = f"{str(parameter.dtype).removeprefix('torch.')} on {parameter.device}"
        notes.append(
            f"{len(drawn)} of {len(run.samples)} pictures of {plan.dataset}, seed {plan.seed}, "
            f"{plan.resamples} resamples; the {plan.target} class is explained, in {where}."
        )
    costs = {
        name: {(spec, row): median_cost(records, spec, row, name) for spec, run in runs.items() for row in run.methods}
        for name in ("seconds", "forwards")
    }
    used = ", ".join(f"{name} {number}" for name, number in versions().items())
    notes.append(f"{used}. The plan, all settings, checksums and the machine are in {MANIFEST}.")
    title, judges = f"{', '.join(plan.metrics)} on {plan.dataset}", next(iter(runs.values())).judges
    settings = {
        (spec, metric): _settings(plan, judge) for spec, run in runs.items() for metric, judge in run.judges.items()
    }
    said = list(dict.fromkeys(notes))
    return Table(title, cells, curves, costs, list(plan.rows), reference, said, judges, settings)


def _settings(plan: Plan, judge: Judge) -> str:
    """Everything that a number of this metric depends on, in the words of a plan."""
    values = {"target": plan.target, "follow": plan.follow or plan.target, "whole": plan.whole, **_plain(judge)}
    told = {name: value for name, value in values.items() if name != "batch_size" and value is not None}
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in told.items())


def _failures(spec: str, metric: str, records: Mapping[str, list[Record]], drawn: set[str]) -> Iterator[str]:
    """Why pictures have no value, and how many; methods with the same to say of them share a line."""
    rows: dict[tuple[str, int], list[str]] = {}
    for row, its in records.items():
        last = {record.picture: record for record in its}  # one that was tried again may have a value now
        reasons = Counter(record.error for record in last.values() if record.error and record.picture in drawn)
        for cause in reasons.items():
            rows.setdefault(cause, []).append(row)
    for (reason, count), names in rows.items():
        methods = "any method" if len(names) == len(records) else ", ".join(names)
        pictures = "1 picture" if count == 1 else f"{count} pictures"
        yield f"{metric} says nothing of {methods} on {pictures} ({spec}): {reason.rstrip('.')}."


def _describe(plan: Plan, spec: str, run: ModelRun, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """What the numbers depend on, in plain values."""
    cuda = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "started": now(),
        "versions": {**versions(), "pyarrow": version("pyarrow")},
        "hardware": {
            "machine": platform.machine(),
            "processor": platform.processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "device": str(device),
            "gpu": cuda,
        },
        "plan": asdict(plan),
        "dtype": str(dtype).removeprefix("torch."),
        "dataset": {"fingerprint": run.samples.fingerprint, "pictures": len(run.samples)},
        "models": {
            spec: {
                "weights_sha256": run.subject.weights_sha256,
                "preprocess": run.preprocess.to_json(),
                "labels": run.matched,
            }
        },
        "methods": {
            row: {"source": method.source, "settings": settings_to_json(method)} for row, method in run.methods.items()
        },
        "metrics": {row: {"source": judge.source, "settings": _plain(judge)} for row, judge in run.judges.items()},
    }


def _plain(judge: Judge) -> dict[str, Any]:
    values = {item.name: getattr(judge, item.name) for item in fields(judge)}
    return {name: str(value) if isinstance(value, torch.dtype) else value for name, value in values.items()}


def _joined(old: dict[str, Any], new: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The new manifest, with the models, methods and metrics of earlier runs.

    Raises:
        DataError: the folder holds results that are not comparable.
    """
    new = json.loads(json.dumps(new))
    if not old:
        return new
    if "plan" not in old:
        raise DataError(f"`{folder}` holds another job's results. Choose another output folder.")
    same = {name: (old["plan"][name], new["plan"][name]) for name in ("target", "follow", "labels", "whole")}
    same |= {name: (old[name], new[name]) for name in ("dtype", "dataset")}
    for kind in ("models", "methods", "metrics"):
        for row in old[kind].keys() & new[kind].keys():
            before = {name: value for name, value in old[kind][row].items() if name not in ("refused", "unread")}
            same[f"{kind}.{row}"] = (before, new[kind][row])
    for name, (before, after) in same.items():
        if before != after:
            raise DataError(
                f"`{folder}` holds results of another plan: `{name}` was {before}, and is {after}. Choose another "
                "output folder."
            )
    return {**new, **{kind: {**new[kind], **old[kind]} for kind in ("models", "methods", "metrics")}}


def _told(manifest: dict[str, Any], spec: str, run: ModelRun) -> dict[str, Any]:
    """The manifest with what did not work; of rows and pictures that this run did not try, what others found stays."""
    about = manifest["models"][spec]
    drawn = {entry.id for entry in run.drawn}
    for name, tried, found in (("refused", run.methods, run.refused), ("unread", drawn, run.unread)):
        about[name] = {each: reason for each, reason in about.get(name, {}).items() if each not in tried} | found
    return manifest
