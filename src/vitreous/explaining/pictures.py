"""Many pictures to many sheets: a bad picture, or a method that refuses, never stops the others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from vitreous.errors import DataError, ExplainWarning
from vitreous.explaining.batches import explain_images
from vitreous.explaining.found import Found
from vitreous.explaining.opening import Opened, open_for
from vitreous.explaining.outputs import JOB, SUFFIXES, Explained, Style, write_maps, write_sheet
from vitreous.explaining.picture_job import (
    PictureJob,
    Result,
    complete_job,
    describe_job,
    result_from_json,
    result_to_json,
)
from vitreous.files.ledger import Ledger, open_ledger
from vitreous.files.writing import check_writable
from vitreous.methods.shared import NO_MEMORY
from vitreous.trace.once import Measured, measuring_once

__all__ = ["PictureJob", "Result", "explain_pictures", "explained_of"]

_WRITERS = 2
"""Threads that draw and write sheets: encoding them takes as long as a quick method."""


def explain_pictures(job: PictureJob, files: Sequence[Path]) -> Iterator[Result]:
    """Explain every picture by every method, and yield what became of each, in order.

    A picture that can be explained gets a `.png` and a `.npz` in the output folder, which keep its place below the
    folder that all pictures lie in. `manifest.json` tells about all of them; what a run that was stopped, or killed,
    has done by the same settings is not done again.

    Raises:
        DataError: the output folder cannot be written, another run is writing there, or it is another command's.
        UnknownName: the model has no such target, or does not allow a method's setting.
        ShapeError: class names are given, and not one for each score.
        ObservationError: no method applies to the model.
    """
    check_writable(job.output)
    job = complete_job(job)
    with open_ledger(job.output, JOB, describe_job(job), files, SUFFIXES) as ledger:
        kept = {file: whole for file in files if (whole := _kept(ledger, file))}
        todo = [file for file in files if file not in kept]
        fresh = _explain_batches(job, todo, ledger)
        for file in files:
            if file in kept:
                result, told = kept[file]
                if result.warning:
                    warnings.warn(result.warning, ExplainWarning, stacklevel=2)
            else:
                result = next(fresh)
                told = result_to_json(result, job.output)
            ledger.note(file, told, written=result.sheet is not None)
            yield result


def _kept(ledger: Ledger, file: Path) -> tuple[Result, Mapping[str, Any]] | None:
    """What an earlier run found, if it need not be found again."""
    told = ledger.whole(file)
    result = result_from_json(told, file, ledger.folder) if told else None
    if told is None or result is None or NO_MEMORY in (*result.refused.values(), *result.trust):
        return None
    return result, told


def _explain_batches(job: PictureJob, files: Sequence[Path], ledger: Ledger) -> Iterator[Result]:
    """What became of each picture; a method that does not apply to the model is not tried again.

    The files of a batch are written while the model works on the next one.
    """
    refused: Mapping[str, str] = {}
    measured = Measured()
    with ThreadPoolExecutor(_WRITERS, "sheets") as writers:
        waiting: list[Future[Result]] = []
        for at in range(0, len(files), job.batch_size):
            with measuring_once(measured):
                found, refused = _explain_batch(job, files[at : at + job.batch_size], refused)
            yield from (each.result() for each in waiting)
            waiting = [writers.submit(_written(job, ledger, each)) for each in found]
        yield from (each.result() for each in waiting)


def _explain_batch(
    job: PictureJob, files: Sequence[Path], refused: Mapping[str, str]
) -> tuple[list[Explained | Result], Mapping[str, str]]:
    """Each picture explained, or why it cannot be; and why methods do not apply to the model, also those of before."""
    opened = [open_for(job.model, file, job.window) for file in files]
    read = [each for each in opened if isinstance(each, Opened)]
    found, refused = explain_images(job, [each.image for each in read], refused)
    left = iter(found)
    pairs = zip(files, opened, strict=True)
    return [
        _explained(job, file, each, next(left) if isinstance(each, Opened) else each) for file, each in pairs
    ], refused


def _explained(job: PictureJob, file: Path, opened: Opened | DataError, found: Found | Exception) -> Explained | Result:
    if isinstance(opened, Opened) and isinstance(found, Found):
        return explained_of(job, opened, found)
    return Result(file, error=str(found))


def explained_of(job: PictureJob, opened: Opened, found: Found) -> Explained:
    """What is found of a picture, with what is shown of it."""
    return Explained(
        **vars(found),
        file=opened.file,
        crop=opened.crop,
        view=opened.view,
        marked=opened.marked,
        made_by=job.methods,
        against=job.rival,
        window=opened.window,
        choice=job.choice.short if job.choice else "",
        warning=opened.warning,
        medical=opened.medical,
    )


def _written(job: PictureJob, ledger: Ledger, explained: Explained | Result) -> Callable[[], Result]:
    """What writes the files of one picture, on any thread: their names are taken here and now."""
    if isinstance(explained, Result):
        return lambda: explained
    result = Result(
        explained.file,
        explained.predicted,
        explained.targets,
        details=explained.details,
        layers=explained.layers,
        refused=explained.refused,
        window=explained.window,
        trust=explained.trust,
        warning=explained.warning,
        scores_from=explained.scores_from,
    )
    if not explained.methods:
        told = f"no method gave a map of `{explained.file}`. Try another target or method."
        return lambda: replace(result, error=told)
    try:
        page, maps = ledger.claim(explained.file)
    except DataError as error:
        unnamed = replace(result, error=str(error))
        return lambda: unnamed
    return partial(
        _write, explained, Style(job.alpha, job.isolines, job.common_scale), replace(result, sheet=page, maps=maps)
    )


def _write(explained: Explained, style: Style, result: Result) -> Result:
    """Write the files that a result names."""
    assert result.maps
    assert result.sheet
    try:
        write_maps(result.maps, explained)
        write_sheet(result.sheet, explained, style)
    except DataError as error:
        return replace(result, sheet=None, maps=None, error=str(error))
    return result
