"""The whole verification: labelled pictures through a check, kept as they come; then a table, a plot and a manifest."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import torch

from vitreous.data.depth import Window, asked_window
from vitreous.data.readers import open_samples
from vitreous.data.samples import Entry, Samples, dataset_name, draw, join_identity
from vitreous.errors import DataError, check_setting
from vitreous.explaining.labels import match_labels
from vitreous.explaining.opening import read_images
from vitreous.files.manifest import MANIFEST, change_manifest, claim, now, read_own, versions
from vitreous.files.names import told_without_folders
from vitreous.files.writing import alone_in, sweep, whole_file
from vitreous.interacting.averages import average_pictures
from vitreous.interacting.verification.check import Check, LabelledBatch, Measured
from vitreous.methods.requirements import check_at_least
from vitreous.models.labels import without_folders
from vitreous.models.loaded import LoadedModel
from vitreous.models.zoo import load
from vitreous.render.charts import Panels, check_charts, line_chart
from vitreous.render.page import chart
from vitreous.settings.layout import Section, as_left
from vitreous.settings.typed import Seed, Within, check_settings
from vitreous.statistics.store import RESULTS, Record, Store
from vitreous.statistics.summary import Values
from vitreous.statistics.tables import Table, write_page, write_tables
from vitreous.trace.classifier import check_classifier
from vitreous.trace.edit import evaluation
from vitreous.trace.reading import Reading, reading

__all__ = ["SOURCE", "Trial", "Verified", "verify"]

SOURCE = "reconstruction after the abstract of arXiv 2203.05922"


@dataclass(frozen=True)
class Trial:
    """What a check is tried on.

    Attributes:
        dataset: as `open_samples` takes it; its pictures have labels.
        model: as `vitreous.load` takes it.
        labels: how labels are those of the model: by "name", "position", or "auto"; see `match_labels`.
        calibration: data set of the averages, which reads no labels; empty for `dataset`.
        calibrated: how many of its pictures are averaged.
        limit: how many pictures are drawn; 0 for all.
        seed: of the draws, of random controls and of the resamples.
        batch_size: how many pictures run at once.
        resamples: of the bootstrap.
        reading: of the model, what cannot be told by measuring.
        window: of gray pictures of more than 8 bits, as in `open_picture`.
    """

    dataset: str
    model: str = "default"
    labels: str = "auto"
    calibration: str = ""
    calibrated: int = 200
    limit: int = 0
    seed: Seed = 0
    batch_size: int = 16
    resamples: Annotated[int, Within(100, 100_000)] = 2000
    reading: Reading = Reading()  # noqa: RUF009  # frozen
    window: Window = None

    def __post_init__(self) -> None:
        """Refuse what measures nothing."""
        check_settings(self)
        asked_window(self.window)
        check_setting("labels", self.labels, ("auto", "name", "position"))
        for name, least in (("calibrated", 1), ("limit", 0), ("batch_size", 1)):
            check_at_least(name, getattr(self, name), least)


@dataclass(frozen=True)
class Verified:
    """What a verification leaves: its table, and the files that were written."""

    table: Table
    files: list[Path]


def verify(
    check: Check,
    trial: Trial,
    output: Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    check_contents: bool = False,
    tell: Callable[[int, int], None] | None = None,
) -> Verified:
    """Run a check on every picture that is not done yet, and write what it found. One batch is in memory at a time.

    Args:
        check: windows, removal or indicators.
        trial: on what.
        output: folder for results/*.parquet, manifest.json, summary.md, .csv, .tex, .html and plot.svg.
        device: where to compute.
        dtype: of the weights.
        check_contents: hash the contents of all pictures: they are kept, and compared when a run goes on.
        tell: told how many pictures are done, of how many.

    Raises:
        DataError: the data set cannot be read or has no labels of the model's, or the folder holds other results.
        ObservationError: the model has no attention between all patches that the check can change.
        MissingExtra: pyarrow or matplotlib is not installed.
        ExplainError: a name in the trial is unknown, or the model cannot be loaded.
    """
    check_charts()
    tables = (f"summary.{kind}" for kind in ("md", "csv", "tex", "html"))
    with alone_in(output):
        claim(output, f"verify {check.name}", [RESULTS, *tables, "plot.svg"])
        sweep(output / RESULTS)
        return _verify(check, trial, output, device=device, dtype=dtype, check_contents=check_contents, tell=tell)


def _verify(
    check: Check,
    trial: Trial,
    output: Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    check_contents: bool,
    tell: Callable[[int, int], None] | None,
) -> Verified:
    store, samples = Store(output), open_samples(trial.dataset, trial.window)
    subject = load(trial.model, device=device, dtype=dtype, **trial.reading.said())
    labels = _labels(trial, samples, subject)
    manifest = {
        "job": f"verify {check.name}",
        "source": SOURCE,
        "check": asdict(check),
        "trial": {**asdict(trial), "reading": trial.reading.to_json()},
        "dataset": samples.identity(check=check_contents),
        "weights_sha256": subject.weights_sha256,
        "dtype": str(dtype).removeprefix("torch."),
    }
    manifest["dataset"] = _check_same(manifest, output)
    about = {
        "started": now(),
        "versions": {**versions(), **{name: version(name) for name in ("pyarrow", "matplotlib")}},
        "machine": {"device": str(device), "cores": os.cpu_count(), "threads": torch.get_num_threads()},
    }
    change_manifest(output, lambda values: {**values, **manifest, **about})
    entries = [entry for entry in draw(samples.entries, trial.limit, trial.seed) if entry.label in labels]
    unread: dict[str, str] = {}
    averages = None
    if check.needs_averages:
        others = open_samples(trial.calibration, trial.window) if trial.calibration else samples
        drawn = draw(others.entries, trial.calibrated, trial.seed)
        averages = average_pictures(subject, drawn, trial.batch_size, unread)
    known = {record.picture for key, records in store.read().items() if key.metric == check.name for record in records}
    todo = [entry for entry in entries if entry.id not in known]
    for start in range(0, len(todo), trial.batch_size):
        batch, ids = _batch(trial, subject, labels, todo[start : start + trial.batch_size], unread)
        if batch:
            with reading(subject.reading), evaluation(subject.model), torch.no_grad():
                check_classifier(subject.model, batch.images)
                measured = check.measure(subject.model, batch, averages)
            store.add(list(_records(trial.model, check.name, measured, ids)))
        if tell:
            tell(len(entries) - len(todo) + min(start + trial.batch_size, len(todo)), len(entries))
    tried = {entry.id for entry in entries}
    pictures = [entry.id for entry in samples.entries if entry.id in tried]
    table, panels, axes = _summed(check, trial, store, pictures, unread)
    plot, drawn = output / "plot.svg", line_chart(panels, x=axes[0], y=axes[1], title=table.title)
    with whole_file(plot) as part:
        part.write_text(drawn, encoding="utf-8")
    page = write_page(table, [(table.title, chart(drawn, table.title))], output / "summary.html")
    return Verified(table, [*write_tables(table, output), page, plot])


def _labels(trial: Trial, samples: Samples, subject: LoadedModel) -> dict[int, int]:
    used = {entry.label for entry in samples.entries if entry.label is not None}
    labels, _ = match_labels(samples.class_names, used, subject.class_names, trial.labels)
    if not labels:
        raise DataError(
            f"the labels of `{trial.dataset}` mean nothing to `{trial.model}`: there are none, or their names are not "
            "its class names and their number is another. Give labelled pictures, or match labels by position."
        )
    return labels


def _check_same(manifest: dict[str, Any], output: Path) -> dict[str, Any]:
    """What is known of the data set; results of something else are refused, more pictures in other batches welcome."""
    old = read_own(output, manifest["job"])
    if "trial" not in old or not Store(output).read():  # nothing, a claim, or a run that measured nothing
        return manifest["dataset"]
    old = as_left(old, {"trial": Section, "dataset": Section}, output / MANIFEST)

    def fixed(values: dict[str, Any]) -> dict[str, Any]:
        said = {"reading": Reading().to_json(), "window": None} | values["trial"]
        trial = {name: value for name, value in said.items() if name not in _MAY_CHANGE}
        return {name: values.get(name) for name in ("job", "check", "weights_sha256", "dtype")} | trial

    new = json.loads(json.dumps(manifest))
    if fixed(old) != fixed(new):
        raise DataError(f"`{output}` holds results of other settings. Choose another output folder.")
    return join_identity(old["dataset"], manifest["dataset"], manifest["trial"]["dataset"], output)


_MAY_CHANGE = ("limit", "batch_size", "resamples")


def _batch(
    trial: Trial, subject: LoadedModel, labels: dict[int, int], part: Sequence[Entry], unread: dict[str, str]
) -> tuple[LabelledBatch | None, list[str]]:
    """The pictures that can be read, and their names."""
    images = read_images(subject, part, unread)
    if not images:
        return None, []
    truth = [labels[entry.label] for entry in part if entry.id in images and entry.label is not None]
    stacked = torch.stack(list(images.values()))
    seeds = [zlib.crc32(f"{trial.seed} {name}".encode()) for name in images]
    return LabelledBatch(stacked, torch.tensor(truth, device=stacked.device), seeds), list(images)


def _records(model: str, check: str, measured: Measured, ids: Sequence[str]) -> Iterator[Record]:
    for row, named in measured.items():
        for name, values in named.items():
            for picture, numbers in zip(ids, values.reshape(len(ids), -1).tolist(), strict=True):
                yield Record(model, row, check, picture, name, numbers)


def _summed(
    check: Check, trial: Trial, store: Store, pictures: Sequence[str], unread: dict[str, str]
) -> tuple[Table, Panels, tuple[str, str]]:
    """The table; the panels of the plot, and what their axes show."""
    found = {
        key.method: values
        for key, records in store.read().items()
        if key.metric == check.name and (values := Values.of(records, pictures)) is not None
    }
    if not found:
        raise DataError(f"`{trial.dataset}` has no picture that can be read. Check the files.")
    model = without_folders(trial.model)
    report = check.report(model, found, trial.resamples, trial.seed)
    rows = list(dict.fromkeys(cell.method for cell in report.cells))
    title = f"{check.name} of {model} on {dataset_name(trial.dataset)}: {SOURCE}"
    left = (f"{picture} was left out: {told_without_folders(reason)}" for picture, reason in unread.items())
    notes = [*report.notes, *left]
    return (
        Table(title, report.cells, {}, {}, rows, report.reference, notes, shown=report.shown),
        report.panels,
        report.axes,
    )
