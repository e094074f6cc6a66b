"""Maps and numbers of pictures, and averages over many, made again."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vitreous.errors import DataError
from vitreous.explaining.outputs import JOB as EXPLAIN
from vitreous.explaining.pictures import PictureJob, explain_pictures
from vitreous.explaining.trust.measure import TrustSettings
from vitreous.files.ledger import full_path, written_maps
from vitreous.files.manifest import read_manifest
from vitreous.files.reading import within
from vitreous.inside.sheets import JOB as INSIDE
from vitreous.inside.sheets import InsideJob, inside_sheets
from vitreous.interacting.numbers import InteractionsJob
from vitreous.interacting.pages import JOB as INTERACTIONS
from vitreous.interacting.pages import SUFFIXES, average_page, interaction_pages
from vitreous.methods import METHODS, make_method
from vitreous.methods.method import Method
from vitreous.models.loaded import LoadedModel
from vitreous.reproducing.asked import REMEDY, Asked
from vitreous.reproducing.compare import Compared, compare_files
from vitreous.reproducing.exports import exports
from vitreous.settings.typed import typed, typed_fields

__all__ = ["averages", "picture_job", "pictures"]


def pictures(asked: Asked) -> Iterator[Compared]:
    """The maps or numbers of every picture."""
    before = written_maps(asked.folder, asked.values)
    if not before:
        raise DataError(f"`{asked.path}` tells of no picture with results. {REMEDY}")
    if gone := [path for path in before if not within(Path(path))[0].is_file()]:
        raise DataError(f"{len(gone)} of {len(before)} pictures are gone, such as `{gone[0]}`. Put them back.")
    model = asked.load(asked.values)
    tried = [Path(full_path(asked.folder / each["file"])) for each in asked.values["pictures"]]  # in the same batches
    errors = dict(_RUNS[asked.values["job"]](asked, model, tried))
    after = written_maps(asked.output, read_manifest(asked.output))
    for path, old in before.items():
        new = after.get(path)
        yield compare_files(path, old, new) if new else Compared(path, math.inf, errors[Path(path)])
    if asked.values["job"] == EXPLAIN and after:
        yield from exports(asked, picture_job(asked, model), before, after)


def picture_job(asked: Asked, model: LoadedModel) -> PictureJob:
    """What `describe_job` told of, with that model.

    Raises:
        DataError: a value is of another type, or names code that nobody named on the command line.
    """
    names = ("target", "batch_size", "alpha", "common_scale", "isolines", "window")
    given = typed_fields(PictureJob, {name: asked.values[name] for name in names}, f"`{asked.path}`", DataError)
    against, trust = typed(str, asked.values["against"] or ""), asked.values.get("trust")
    methods = {name: _method(asked, name, about["settings"]) for name, about in asked.values["methods"].items()}
    measured = TrustSettings(**typed_fields(TrustSettings, trust, f"`{asked.path}`", DataError)) if trust else None
    named = typed(tuple[str, ...], asked.values.get("class_names") or ())
    return PictureJob(model, methods, against=against, output=asked.output, trust=measured, class_names=named, **given)


def _explain(asked: Asked, model: LoadedModel, files: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    for result in explain_pictures(picture_job(asked, model), files):
        yield result.file, result.error


def _method(asked: Asked, name: str, settings: Mapping[str, Any]) -> Method:
    second = settings.get("fine")
    fine = {"fine": typed(str, second["model"])} if isinstance(second, Mapping) else {}
    return make_method(name if name in METHODS else asked.check_own(name), **{**settings, **fine})


def _interactions(asked: Asked, model: LoadedModel, files: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    for page in interaction_pages(_job(asked, model), files):
        yield Path(page.file), page.error


def _inside(asked: Asked, model: LoadedModel, files: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    names = ("layer", "of", "patch", "foreground", "times", "window")
    given = typed_fields(InsideJob, {name: asked.values[name] for name in names}, f"`{asked.path}`", DataError)
    other, cases = asked.values["other"], asked.file("cases")
    second = asked.load(other) if other else None
    for sheet in inside_sheets(InsideJob(model, output=asked.output, cases=cases, other=second, **given), files):
        yield sheet.file, sheet.error


_RUNS = {EXPLAIN: _explain, INTERACTIONS: _interactions, INSIDE: _inside}
"""By the command: what became of every picture."""


def averages(asked: Asked) -> Iterator[Compared]:
    """The numbers of a data set's average."""
    dataset = asked.dataset(asked.values["dataset"])
    limit, seed, batch_size = (typed(int, asked.values[name]) for name in ("limit", "seed", "batch_size"))
    average_page(_job(asked, asked.load(asked.values)), dataset, limit=limit, seed=seed, batch_size=batch_size)
    asked.check_fingerprint(read_manifest(asked.output)["fingerprint"], asked.values["fingerprint"], dataset)
    name = f"average{SUFFIXES[1]}"
    yield compare_files(dataset, asked.folder / name, asked.output / name)


def _job(asked: Asked, model: LoadedModel) -> InteractionsJob:
    names = ("indicator", "block", "query", "mass", "share", "window")
    given = typed_fields(InteractionsJob, {name: asked.values[name] for name in names}, f"`{asked.path}`", DataError)
    named = typed(tuple[str, ...], asked.values.get("class_names") or ())
    return InteractionsJob(model, output=asked.output, class_names=named, **given)
