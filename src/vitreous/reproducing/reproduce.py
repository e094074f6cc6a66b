"""A result made again from its manifest: a file that is data, names no code to run and is never written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vitreous.benchmarking.job import JOB as BENCHMARK
from vitreous.benchmarking.job import benchmark
from vitreous.benchmarking.plan import Plan, reading_of, to_plan, use_own
from vitreous.data.samples import join_identity
from vitreous.errors import DataError
from vitreous.explaining.outputs import JOB as EXPLAIN
from vitreous.explaining.pictures import PictureJob, explain_pictures
from vitreous.explaining.trust.measure import TrustSettings
from vitreous.files.ledger import written_maps
from vitreous.files.manifest import MANIFEST, read_manifest, versions
from vitreous.interacting.numbers import InteractionsJob
from vitreous.interacting.pages import JOB as INTERACTIONS
from vitreous.interacting.pages import interaction_pages
from vitreous.methods import METHODS, make_method
from vitreous.methods.method import Method
from vitreous.models.device import find_device
from vitreous.models.loaded import LoadedModel
from vitreous.models.zoo import load
from vitreous.reproducing.compare import Compared, compare_files, compare_records
from vitreous.settings.typed import typed, typed_fields
from vitreous.statistics.store import Store

__all__ = ["Reproduction", "reproduce"]

_REMEDY = "Give a manifest.json that `vitreous` wrote, beside its results."
_DTYPES = {str(each).removeprefix("torch."): each for each in (torch.float32, torch.float64, torch.bfloat16)}


@dataclass(frozen=True)
class Reproduction:
    """What was made again, and how it compares with what it was.

    Attributes:
        parts: every picture, or every row of a table.
        changed: what is not as it was then: versions of packages.
    """

    parts: Sequence[Compared]
    changed: Sequence[str]

    @property
    def apart(self) -> float:
        """The largest difference, over the largest value; 0 where all is the same to the bit."""
        return max(part.apart for part in self.parts)


@dataclass(frozen=True)
class _Asked:
    """A manifest, and what was said on the command line."""

    values: Mapping[str, Any]
    folder: Path
    output: Path
    own: Sequence[str]
    dataset: str
    device: torch.device

    @property
    def path(self) -> Path:
        return self.folder / MANIFEST

    @property
    def dtype(self) -> torch.dtype:
        return _DTYPES[self.values["dtype"]]

    def check_own(self, name: str) -> str:
        """The name, unless it is of code that nobody named on the command line."""
        if ":" in name and name not in self.own:
            raise DataError(
                f"`{self.path}` uses {name}, and a file names no code to run. Say --use {name} if you trust that code."
            )
        return name


def reproduce(
    manifest: Path, output: Path, *, own: Sequence[str] = (), dataset: str = "", device: str = ""
) -> Reproduction:
    """Run explain, interactions of pictures or a benchmark again, by its manifest, and compare the results.

    Args:
        manifest: `manifest.json`, or its folder; the results lie beside it.
        output: a folder for the new results: there is none yet, or it is empty.
        own: "package.module:Name" of every class of one's own that the manifest names; importing them runs their code.
        dataset: of a benchmark, where the data set is now; empty for where it was.
        device: where to compute; empty for where it was.

    Raises:
        DataError: the manifest is another's or damaged, the data or the weights are not what they were, or are gone.
        ExplainError: likewise, of a model that cannot be loaded.
    """
    folder = manifest.parent if manifest.name == MANIFEST else manifest
    values = read_manifest(folder)
    jobs = {EXPLAIN: _pictures, INTERACTIONS: _pictures, BENCHMARK: _benchmark}
    if values.get("job") not in jobs:
        raise DataError(
            f"`{folder / MANIFEST}` is of no run that can be made again ({', '.join(jobs)}, of pictures). {_REMEDY}"
        )
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise DataError(f"`{output}` is not empty. Give a new folder, so that nothing is taken for what it is not.")
    try:
        where = device or values.get("device") or values["hardware"]["device"]
        asked = _Asked(values, folder, output, own, dataset, find_device(typed(str, where)))
        then, now = dict(values["versions"]), versions()
        changed = [f"{name} {then[name]}, now {now[name]}" for name in now if then.get(name) not in (None, now[name])]
        parts = list(jobs[values["job"]](asked))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"`{folder / MANIFEST}` is not as a run left it: {error!r}. {_REMEDY}") from None
    return Reproduction(parts, changed)


def _pictures(asked: _Asked) -> Iterator[Compared]:
    """The maps or numbers of every picture."""
    before = written_maps(asked.folder, asked.values)
    if not before:
        raise DataError(f"`{asked.path}` tells of no picture with results. {_REMEDY}")
    if gone := [path for path in before if not Path(path).is_file()]:
        raise DataError(f"{len(gone)} of {len(before)} pictures are gone, such as `{gone[0]}`. Put them back.")
    reading = reading_of(asked.values["reading"], asked.path)
    texts = typed(tuple[str, ...], asked.values.get("prompts") or ())
    name = typed(str, asked.values["model"])
    model = load(name, device=asked.device, dtype=asked.dtype, prompts=texts, **reading.said())
    _check_weights(model.weights_sha256, asked.values["weights_sha256"], model.name)
    files = [Path(path) for path in before]
    run = _explain(asked, model, files) if asked.values["job"] == EXPLAIN else _interactions(asked, model, files)
    errors = dict(run)
    after = written_maps(asked.output, read_manifest(asked.output))
    for path, old in before.items():
        new = after.get(path)
        yield compare_files(path, old, new) if new else Compared(path, math.inf, errors[Path(path)])


def _explain(asked: _Asked, model: LoadedModel, files: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    names = ("target", "batch_size", "alpha", "common_scale", "isolines", "window")
    given = typed_fields(PictureJob, {name: asked.values[name] for name in names}, f"`{asked.path}`", DataError)
    against, trust = typed(str, asked.values["against"] or ""), asked.values.get("trust")
    methods = {name: _method(asked, name, about["settings"]) for name, about in asked.values["methods"].items()}
    measured = TrustSettings(**typed_fields(TrustSettings, trust, f"`{asked.path}`", DataError)) if trust else None
    named = typed(tuple[str, ...], asked.values.get("class_names") or ())
    job = PictureJob(model, methods, against=against, output=asked.output, trust=measured, class_names=named, **given)
    for result in explain_pictures(job, files):
        yield result.file, result.error


def _method(asked: _Asked, name: str, settings: Mapping[str, Any]) -> Method:
    second = settings.get("fine")
    fine = {"fine": typed(str, second["model"])} if second else {}
    return make_method(name if name in METHODS else asked.check_own(name), **{**settings, **fine})


def _interactions(asked: _Asked, model: LoadedModel, files: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    names = ("indicator", "block", "query", "mass", "share", "window")
    given = typed_fields(InteractionsJob, {name: asked.values[name] for name in names}, f"`{asked.path}`", DataError)
    for page in interaction_pages(InteractionsJob(model, output=asked.output, **given), files):
        yield Path(page.file), page.error


def _benchmark(asked: _Asked) -> Iterator[Compared]:
    """The numbers of every row and metric."""
    plan = _plan(asked)
    benchmark(plan, asked.output, device=asked.device, dtype=asked.dtype, check="contents" in asked.values["dataset"])
    after = read_manifest(asked.output)
    join_identity(asked.values["dataset"], after["dataset"], plan.dataset, asked.folder)
    for spec, about in after["models"].items():
        _check_weights(about["weights_sha256"], asked.values["models"][spec]["weights_sha256"], spec)
    yield from compare_records(Store(asked.folder).read(), Store(asked.output).read())


def _plan(asked: _Asked) -> Plan:
    values = dict(asked.values["plan"])
    own: dict[str, str] = {}
    for kind in ("methods", "metrics"):
        rows = {row: dict(settings) for row, settings in values[kind].items()}
        for row, settings in rows.items():
            if ":" in (name := typed(str, settings.get("use", row))):
                own[row] = asked.check_own(name)
                settings.pop("use", None)
        values[kind] = rows
    flags = {"dataset": asked.dataset} if asked.dataset else {}
    return use_own(to_plan(values, asked.path, flags), own)


def _check_weights(found: str | None, told: str | None, model: str) -> None:
    if found != told:
        raise DataError(f"the weights of `{model}` are not those of the manifest. Put back the file that it was.")
