"""Numbers of data sets, kept as records, made again: of a benchmark, and of a verification."""

from __future__ import annotations

from collections.abc import Iterator

from vitreous.benchmarking.job import benchmark
from vitreous.benchmarking.plan import Plan, reading_of, to_plan, use_own
from vitreous.data.depth import Window
from vitreous.data.samples import join_identity
from vitreous.errors import DataError
from vitreous.evaluation.evaluate import evaluate
from vitreous.files.manifest import read_manifest
from vitreous.files.reading import read_json
from vitreous.interacting.verification.check import Check
from vitreous.interacting.verification.indicators import Indicators
from vitreous.interacting.verification.job import Trial, verify
from vitreous.interacting.verification.pruned import Removal
from vitreous.interacting.verification.windowed import Windows
from vitreous.models.zoo import describe
from vitreous.reproducing.asked import REMEDY, Asked
from vitreous.reproducing.compare import Compared, compare_records, compare_values
from vitreous.settings.named import is_own
from vitreous.settings.typed import typed, typed_fields
from vitreous.statistics.store import Store

__all__ = ["CHECKS", "evaluation", "table", "verification"]

CHECKS: dict[str, type[Check]] = {f"verify {each.name}": each for each in (Windows, Removal, Indicators)}
"""By the command that tries it."""


def table(asked: Asked) -> Iterator[Compared]:
    """The numbers of every row and metric."""
    plan = _plan(asked)
    benchmark(plan, asked.output, device=asked.device, dtype=asked.dtype, check="contents" in asked.values["dataset"])
    after = read_manifest(asked.output)
    join_identity(asked.values["dataset"], after["dataset"], plan.dataset, asked.folder)
    for spec, about in after["models"].items():
        asked.check_weights(about["weights_sha256"], asked.values["models"][spec]["weights_sha256"], spec)
    yield from compare_records(Store(asked.folder).read(), Store(asked.output).read())


def evaluation(asked: Asked) -> Iterator[Compared]:
    """The scores of a classifier, its confusions, and what it costs."""
    before, data = asked.values, asked.dataset(asked.values["data"])
    names = typed(tuple[str, ...], before["class_names"])
    model, file = describe(asked.load(before), class_names=names), asked.output / asked.path.name
    window = typed(Window, before["window"])
    evaluate(model, data, typed(str, before["split"]), file, window=window)
    after = read_json(file, REMEDY)
    if after["data_sha256"] != before["data_sha256"]:
        raise DataError(
            f"`{data}` is not what it was: bytes of an archive, or names, sizes or times of a folder's files differ. "
            "Put back what it was; a copy keeps its times by cp -p."
        )
    for name in sorted({*before["scores"], *after["scores"]}):
        yield compare_values(name, *([*each["scores"].get(name, {}).values()] for each in (before, after)))
    yield compare_values("calibration error", before["calibration_error"], after["calibration_error"])
    yield compare_values("confusions", before["confusion"], after["confusion"])
    yield compare_values("cost", [*before["cost"].values()], [*after["cost"].values()])


def verification(asked: Asked) -> Iterator[Compared]:
    """The numbers of every row of a check."""
    maker = CHECKS[asked.values["job"]]
    check = maker(**typed_fields(maker, asked.values["check"], f"`{asked.path}`", DataError))
    told = dict(asked.values["trial"])
    told |= {"dataset": asked.dataset(told["dataset"]), "reading": reading_of(told["reading"], asked.path)}
    if is_own(calibration := typed(str, told["calibration"])):
        asked.check_own(calibration)
    trial = Trial(**typed_fields(Trial, told, f"`{asked.path}`", DataError))
    contents = "contents" in asked.values["dataset"]
    verify(check, trial, asked.output, device=asked.device, dtype=asked.dtype, check_contents=contents)
    after = read_manifest(asked.output)
    join_identity(asked.values["dataset"], after["dataset"], trial.dataset, asked.folder)
    asked.check_weights(after["weights_sha256"], asked.values["weights_sha256"], trial.model)
    yield from compare_records(Store(asked.folder).read(), Store(asked.output).read())


def _plan(asked: Asked) -> Plan:
    values = dict(asked.values["plan"])
    own: dict[str, str] = {}
    for kind in ("methods", "metrics"):
        rows = {row: dict(settings) for row, settings in values[kind].items()}
        for row, settings in rows.items():
            if ":" in (name := typed(str, settings.get("use", row))):
                own[row] = asked.check_own(name)
                settings.pop("use", None)
        values[kind] = rows
    flags = {"dataset": asked.dataset(values["dataset"])}
    return use_own(to_plan(values, asked.path, flags), own)
