"""The whole job: run every model, keep a manifest, write the tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from vitreous.benchmarking.describe import describe, join, tell_failures
from vitreous.benchmarking.elsewhere import Measuring
from vitreous.benchmarking.figures import figures
from vitreous.benchmarking.loop import ModelRun, RowProgress, run_model
from vitreous.benchmarking.plan import Plan
from vitreous.benchmarking.tabulate import tabulate
from vitreous.engines.engine import Engine
from vitreous.files.manifest import change_manifest, claim
from vitreous.files.writing import alone_at, check_writable, sweep
from vitreous.statistics.store import RESULTS, Store
from vitreous.statistics.tables import Table, write_page, write_tables

__all__ = ["JOB", "Outcome", "benchmark"]

JOB = "benchmark"
"""Whose the output folder is."""


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
    check: bool = False,
    engine: Engine | None = None,
    tell: Callable[[RowProgress], None] | None = None,
) -> Outcome:
    """Measure the methods of a plan; write results, manifest and tables. What is done already is not done again.

    Args:
        plan: what to measure.
        output: folder for results/*.parquet, manifest.json and summary.md, .csv, .tex and .html.
        device: where to compute.
        dtype: of the weights.
        check: hash the contents of all pictures: they are kept, and compared when a run goes on.
        engine: whose workers measure, while this process alone writes; this process itself by default. Workers see
            the data set and the models at the same paths.
        tell: told how far each model is.

    Raises:
        DataError: the data set cannot be read, or the folder holds results of another plan or
            files that no benchmark wrote.
        ExplainError: a name in the plan is unknown, or a model cannot be loaded.
    """
    check_writable(output)
    claim(output, JOB, [RESULTS, *(f"summary.{kind}" for kind in ("md", "csv", "tex", "html"))])
    for place in (output, output / RESULTS):
        sweep(place)
    store = Store(output)
    runs: dict[str, ModelRun] = {}
    for spec in plan.specs:
        run = runs[spec] = ModelRun.start(plan, spec, device, dtype)
        about = describe(plan, spec, run, device, dtype, check=check)
        change_manifest(output, partial(join, new=about, folder=output))
        try:
            start = Measuring(plan, spec, device.type, dtype, run.subject.weights_sha256)
            elsewhere = partial(engine.run, start) if engine else None
            for step, so_far in run_model(plan, spec, run, store, elsewhere):
                runs[spec] = so_far
                if tell:
                    tell(step)
        finally:
            change_manifest(output, partial(tell_failures, spec=spec, run=runs[spec]))
    with alone_at(output / "summary"):  # the files belong together
        records = store.read()
        table = tabulate(plan, runs, records)
        files = write_tables(table, output)
        page = write_page(table, figures(plan, table, runs, records), output / "summary.html")
    refused = [(spec, row, reason) for spec, run in runs.items() for row, reason in run.refused.items()]
    unread = {picture: reason for run in runs.values() for picture, reason in run.unread.items()}
    return Outcome(table, [*files, page], refused, unread)
