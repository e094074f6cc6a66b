"""The same pictures by several models: a folder for each model, and beside these a sheet and a page with all."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vitreous.errors import ModelError, UnknownName
from vitreous.explaining.found import MethodResult
from vitreous.explaining.outputs import JOB, Style
from vitreous.explaining.picture_job import PictureJob
from vitreous.explaining.targets import as_target, is_top
from vitreous.files.ledger import common_folder
from vitreous.files.manifest import claim
from vitreous.files.writing import alone_in, sweep, whole_file
from vitreous.models.labels import labels_of
from vitreous.models.loaded import LoadedModel
from vitreous.render.case import Attempt, Case, MethodCase, ToldClass
from vitreous.render.overlay import Scale
from vitreous.render.sheet import Panel, fit, save_page, sheet
from vitreous.reporting.again import read_run
from vitreous.reporting.pages import Failed, write_pages
from vitreous.reporting.pictures import case_of

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["SEVERAL", "jobs_of", "place_of", "report_models", "sheet_models"]

SEVERAL = f"{JOB} by several models"
"""Whose the output folder is."""


@dataclass(frozen=True)
class _Row:
    """A picture, by one model.

    Attributes:
        label: what the model is called.
        job: its run.
        manifest: that the run left.
        told: what that says of the picture.
        root: the folder that all pictures lie in.
    """

    label: str
    job: PictureJob
    manifest: Mapping[str, Any]
    told: Mapping[str, Any]
    root: str

    def case(self, models: int = 0) -> Case | Failed:
        """What a page of so many models shows of it; for 0, without what is asked of the model anew."""
        return case_of(self.job, self.manifest, self.told, self.root, models=models)[1]


def place_of(label: str) -> str:
    """The folder of a model of that name.

    >>> place_of("timm:vit_tiny_patch16_224@w.safetensors")
    'timm_vit_tiny_patch16_224@w.safetensors'
    """
    return re.sub(r"[^\w.@+-]+", "_", label)


def jobs_of(job: PictureJob, models: Sequence[LoadedModel]) -> dict[str, PictureJob]:
    """By what a model is called, the job for it: of one model the job itself, of several each in a folder of its own.

    Raises:
        DataError: the output folder is another command's.
        ModelError: one of several has no class of a name that is asked for.
    """
    labels = labels_of([model.name for model in models])
    if len(models) == 1:
        return {labels[0]: job}
    jobs = {
        label: replace(job, model=model, output=job.output / place_of(label))
        for label, model in zip(labels, models, strict=True)
    }
    for label, each in jobs.items():
        _check_classes(label, each)
    claim(job.output, SEVERAL, [])
    return jobs


def _check_classes(label: str, job: PictureJob) -> None:
    names = job.class_names or job.model.class_names
    try:
        for target in (job.target,) if isinstance(job.target, str) else job.target:
            as_target(None if is_top(target) else target, names, job.against or None)
    except UnknownName as error:
        raise ModelError(f"the model `{label}` has {error}") from None


def sheet_models(jobs: Mapping[str, PictureJob], output: Path) -> int:
    """Write NAME.png for each picture that a model explained: a row for each model, one class after another.

    Args:
        jobs: by what the models are called; they have ended.
        output: the folder.

    Returns:
        how many sheets there are.

    Raises:
        DataError: another run is writing there, a file there is no sheet of ours, or the disk says no.
    """
    count = 0
    for name, rows in _pictures(jobs):
        cases = {row.label: row.case() for row in rows}
        if any(isinstance(case, Case) for case in cases.values()):
            claim(output, SEVERAL, [f"{name}.png"])
            path, count = output / f"{name}.png", count + 1
            path.parent.mkdir(parents=True, exist_ok=True)
            sweep(path.parent)
            with whole_file(path) as part:
                save_page(_sheet(cases, rows[0].job), part)
    return count


def report_models(jobs: Mapping[str, PictureJob], output: Path) -> Path:
    """Write report.html: the models below each other where they saw the same part of a picture, else a page for each.

    Raises:
        DataError: as `sheet_models`.
    """
    pages = (page for name, rows in _pictures(jobs) for page in _pages(name, rows))
    return write_pages(pages, output / "report.html", f"Pictures explained, by the models {', '.join(jobs)}")


def _pictures(jobs: Mapping[str, PictureJob]) -> Iterator[tuple[str, list[_Row]]]:
    """Every picture that all runs have tried, by a name for its files, with what each has left of it."""
    with ExitStack() as alone:
        for job in jobs.values():
            alone.enter_context(alone_in(job.output))
        left = {label: read_run(job) for label, job in jobs.items()}
        told = {label: {each["file"]: each for each in its["pictures"]} for label, its in left.items()}
        files = [file for file in next(iter(told.values())) if all(file in its for its in told.values())]
        root = common_folder([next(iter(jobs.values())).output / file for file in files])
        for file in files:
            rows = [_Row(label, job, left[label], told[label][file], root) for label, job in jobs.items()]
            yield next((row.told["name"] for row in rows if row.told["name"]), Path(file).stem), rows


def _sheet(cases: Mapping[str, Case | Failed], job: PictureJob) -> Image:
    whole = [case for case in cases.values() if isinstance(case, Case)]
    found = [_result(method, attempt) for case in whole for method in case.methods for attempt in method.attempts]
    maps = [each for each in found if each]
    signed = any(each.signed for each in maps)
    common = Scale.of([each.heatmap for each in maps], signed=signed) if job.common_scale else None
    panels = [
        panel
        for at in range(max(len(case.classes) for case in whole))
        for label, case in cases.items()
        for panel in _panels(label, case, at, Style(job.alpha, job.isolines), common)
    ]
    return sheet(panels, title=whole[0].name, columns=1 + len(whole[0].methods))


def _panels(label: str, case: Case | Failed, at: int, style: Style, common: Scale | None) -> Iterator[Panel]:
    """What a model saw of a picture, and its maps for one class."""
    if isinstance(case, Failed) or case.picture is None or at >= len(case.classes):
        yield Panel(label, None, case.error if isinstance(case, Failed) else "has no more classes")
        return
    said, view = case.classes[at], fit(case.picture)
    yield Panel(label, case.whole or view, f"{said.name} · {said.shown}" if said else "")
    for method in case.methods:
        found = _result(method, method.attempts[at])
        if found is None:
            yield Panel(method.title, None, "no map")
        else:
            scale = common or Scale.of([found.heatmap], signed=found.signed)
            yield Panel(method.title, style.draw(view, found, scale), scale=scale)


def _result(method: MethodCase, attempt: Attempt) -> MethodResult | None:
    if attempt.heatmap is None:
        return None
    heatmap = torch.from_numpy(np.ascontiguousarray(attempt.heatmap))
    return MethodResult(heatmap, signed=method.signed, blocks=method.blocks)


def _pages(name: str, rows: Sequence[_Row]) -> Iterator[tuple[str, Case | Failed]]:
    """One page where all models saw the same; else one for each."""
    cases = {row.label: row.case() for row in rows}
    whole = {label: case for label, case in cases.items() if isinstance(case, Case) and case.picture}
    views = {(case.picture.size, case.picture.tobytes()) for case in whole.values() if case.picture}
    if len(whole) == len(rows) and len(views) == 1:
        cases = {row.label: row.case(models=len(rows)) for row in rows}
        yield name, _joined({label: case for label, case in cases.items() if isinstance(case, Case)})
        return
    for row in rows:
        case = row.case(models=1)
        yield f"{name} by {place_of(row.label)}", replace(case, name=f"{case.name} by {row.label}")


def _joined(cases: Mapping[str, Case]) -> Case:
    """A page's picture by several models: what one explains for a class stands where a class alone would."""
    first = next(iter(cases.values()))
    classes = [
        ToldClass(f"{label}: {said.name}", said.shown, said.share) if said else ToldClass(label, "")
        for label, case in cases.items()
        for said in case.classes
    ]
    methods = [
        replace(method, attempts=[each for case in cases.values() for each in case.methods[at].attempts], about=about)
        for at, method in enumerate(first.methods)
        for about in [_apart({label: case.methods[at].about for label, case in cases.items()})]
    ]
    notes = [f"Models: {', '.join(cases)}", *_notes(cases)]
    trust = [case.trust_of(at) for case in cases.values() for at in range(len(case.classes))]
    facts = _apart({label: case.facts for label, case in cases.items()})
    return Case(
        first.name,
        first.picture,
        methods,
        classes,
        notes=notes,
        trust=trust,
        command=_command([case.command for case in cases.values()]),
        facts=facts,
        whole=first.whole,
        by_model=cases,
    )


def _command(commands: Sequence[str]) -> str:
    """One for all models; empty where theirs differ in more than the model, or one has none.

    >>> _command(["vitreous explain cat.png --model a --report", "vitreous explain cat.png --model b --report"])
    'vitreous explain cat.png --model a --model b --report'
    """
    words = [shlex.split(command) for command in commands]
    if not all(words):
        return ""
    at = words[0].index("--model")
    rest = [(each[:at], each[at + 2 :]) for each in words]
    models = [word for each in words for word in each[at : at + 2]]
    return shlex.join([*rest[0][0], *models, *rest[0][1]]) if all(each == rest[0] for each in rest) else ""


def _notes(cases: Mapping[str, Case]) -> Iterator[str]:
    """What the notes of all models say, once; and of the rest whose it is, but for the one that names the model."""
    same = [note for note in next(iter(cases.values())).notes if all(note in case.notes for case in cases.values())]
    yield from same
    for label, case in cases.items():
        yield from (f"{label}: {note}" for note in case.notes[1:] if note not in same)


def _apart(told: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """What is told of all models alike, once; and the rest, model by model."""
    first = next(iter(told.values()))
    same = {name: text for name, text in first.items() if all(its.get(name) == text for its in told.values())}
    rest = {f"{name} of {label}": text for label, its in told.items() for name, text in its.items() if name not in same}
    return same | rest
