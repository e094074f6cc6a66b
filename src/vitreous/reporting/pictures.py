"""`vitreous explain --report`: pages of what a run has left in its folder, also of what an earlier one had done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.errors import DataError
from vitreous.explaining.explain import inputs_of
from vitreous.explaining.picture_job import PictureJob, Result
from vitreous.files.arrays import open_arrays
from vitreous.files.ledger import common_folder, full_path
from vitreous.files.writing import alone_in
from vitreous.inside.given import NOTHING, Given
from vitreous.methods import title_of
from vitreous.methods.cases import method_case, said
from vitreous.models.zoo import describe
from vitreous.render.case import Attempt, Case
from vitreous.render.view import View
from vitreous.reporting.again import open_again, read_run, result_again
from vitreous.reporting.command import command_of
from vitreous.reporting.facts import facts_of, notes_of, targets_of
from vitreous.reporting.pages import Failed, write_pages
from vitreous.reporting.related import looked, related

__all__ = ["case_of", "report_pictures"]

_REMEDY = "Explain the picture again."
_Details = Mapping[str, Sequence[Any]]


def report_pictures(job: PictureJob, given: Given = NOTHING) -> Path:
    """Write report.html into the folder of a run that has ended, of the pictures that its manifest tells about.

    Args:
        job: the run.
        given: what pages show besides.

    Raises:
        DataError: another run is writing there, a file there is no page of ours, or the disk says no.
    """
    job = replace(job, model=describe(job.model, class_names=job.class_names))
    with alone_in(job.output):
        manifest = read_run(job)
        told = manifest["pictures"]
        root = common_folder([job.output / each["file"] for each in told])
        cases = (case_of(job, manifest, each, root, given=given) for each in told)
        failed = sum(bool(each.get("error")) for each in told)
        count = f"{len(told) - failed} of {len(told)}" if failed else len(told)
        title = f"{count} pictures explained, by the model {job.model.short_name}"
        return write_pages(cases, job.output / "report.html", title)


def case_of(
    job: PictureJob,
    manifest: Mapping[str, Any],
    told: Mapping[str, Any],
    root: str,
    *,
    models: int = 1,
    given: Given = NOTHING,
) -> tuple[str, Case | Failed]:
    """A picture of a run's manifest, by the name of its files.

    Args:
        job: the run.
        manifest: that it left.
        told: what that says of the picture.
        root: the folder that all pictures lie in.
        models: so many share the page. Alone, a model is asked how patches are related, too, and for 0 not even looked
            into.
        given: what is then shown besides.
    """
    file, name = job.output / told["file"], told.get("name")
    place = str(Path(full_path(file)).relative_to(root))
    if not name:
        return "", Failed(place, _without_folders(told.get("error") or "", told["file"], file.name))
    try:
        found, details = _read(job, told)
        picture = open_again(job, told)
        with open_arrays(job.output / told["maps"], _REMEDY) as arrays:
            maps = {method: arrays[method] for method in job.methods if method in arrays}
    except DataError as error:
        return name, Failed(place, _without_folders(str(error), str(file), file.name))
    view = View(picture, job.model.prepared().box(picture))
    found = replace(found, warning=_without_folders(found.warning, told["file"], file.name))
    case = _case(job, found, details, view, maps)
    case = replace(case, command=command_of(job, job.output / found.file, given))
    if models:
        image, _ = inputs_of(job.model, view.whole)
        if models == 1:
            case = related(case, job.model, image, targets_of(job, [each.index for each in found.targets]), given=given)
        else:
            case = looked(case, job.model, image, given=given, models=models)
    return name, replace(case, trust=told["trust"], facts=facts_of(job, manifest, found.scores_from))


def _read(job: PictureJob, told: Mapping[str, Any]) -> tuple[Result, _Details]:
    """What the manifest says of a picture, and in plain values what methods found beside their maps.

    Raises:
        DataError: it was changed since it was written.
    """
    found, details = result_again(job, told), told.get("details")
    if not isinstance(details, dict) or not all(isinstance(each, list) for each in details.values()):
        raise DataError(f"what `manifest.json` says of `{told['file']}` is damaged, or was changed. {_REMEDY}")
    return found, details


def _case(
    job: PictureJob,
    found: Result,
    details: _Details,
    view: View,
    maps: Mapping[str, np.ndarray[Any, Any]],
) -> Case:
    classes = [said(each, job.rival_name) for each in found.targets] or [None]
    methods = [
        method_case(
            name,
            title_of(name),
            method,
            list(_attempts(maps.get(name), found.refused.get(name), details.get(name), len(classes))),
            found.layers.get(name, ""),
        )
        for name, method in job.methods.items()
    ]
    whole = None if view.is_whole else view.marked()
    return Case(
        found.file.name,
        view.part,
        methods,
        classes,
        [said(each) for each in found.predicted[:3]],
        notes_of(job, classes, view.whole.info, warning=found.warning, behind=found.scores_from),
        whole=whole,
    )


def _attempts(
    maps: np.ndarray[Any, Any] | None, refused: str | None, found: Sequence[Any] | None, classes: int
) -> Iterator[Attempt]:
    """What a method gave for each class; NaN stands for no map."""
    for at in range(classes):
        if maps is None or np.isnan(maps[at]).all():
            yield Attempt(None, refused or "there is none.")
        else:
            yield Attempt(maps[at], found=found[at] if found else None)


def _without_folders(error: str, path: str, name: str) -> str:
    return error.replace(f"`{path}`", f"`{name}`")
