"""Many pictures to many sheets: a bad picture, or a method that refuses, never stops the others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vitreous.errors import (
    DataError,
    ExplainWarning,
    NoClassScores,
    NotFinite,
    ObservationError,
)
from vitreous.explaining.asked import check_class_names
from vitreous.explaining.attempts import try_methods, try_trust
from vitreous.explaining.method_settings import complete_method
from vitreous.explaining.opening import Opened, open_for
from vitreous.explaining.outputs import JOB, SUFFIXES, Explained, Style, write_maps, write_sheet
from vitreous.explaining.picture_job import (
    NO_MEMORY,
    PictureJob,
    Result,
    by_reason,
    describe_job,
    result_from_json,
    result_to_json,
)
from vitreous.explaining.targets import choose_classes
from vitreous.files.ledger import Ledger, open_ledger
from vitreous.files.writing import check_writable
from vitreous.interact.relations import regions_of
from vitreous.models.loaded import LoadedModel
from vitreous.models.zoo import describe
from vitreous.shapes import Images, Logits
from vitreous.trace.answer import Answer, answer
from vitreous.trace.classifier import check_classifier
from vitreous.trace.reading import reading
from vitreous.trace.running import run
from vitreous.trace.settled import evaluating
from vitreous.trace.target import Classes, Predicted, Target, logits_of

__all__ = ["PictureJob", "Result", "explain_pictures"]

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
    methods = {name: complete_method(method, job.model) for name, method in job.methods.items()}
    job = replace(job, methods=methods, model=describe(job.model, class_names=job.class_names))
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
    with ThreadPoolExecutor(_WRITERS, "sheets") as writers:
        waiting: list[Future[Result]] = []
        for at in range(0, len(files), job.batch_size):
            found, refused = _explain_batch(job, files[at : at + job.batch_size], refused)
            yield from (each.result() for each in waiting)
            waiting = [writers.submit(_written(job, ledger, each)) for each in found]
        yield from (each.result() for each in waiting)


def _explain_batch(
    job: PictureJob, files: Sequence[Path], refused: Mapping[str, str]
) -> tuple[list[Explained | Result], Mapping[str, str]]:
    """Each picture explained, or why it cannot be; and why methods do not apply to the model, also those of before."""
    opened = [open_for(job.model, file, job.window) for file in files]
    try:
        explained, refused = _explain_opened(job, [each for each in opened if isinstance(each, Opened)], refused)
    except NotFinite as error:
        if len(files) == 1:
            return [Result(files[0], error=str(error))], refused
        found: list[Explained | Result] = []
        for file in files:  # one picture does not stop the others
            one, refused = _explain_batch(job, [file], refused)
            found += one
        return found, refused
    left = iter(explained)
    pairs = zip(files, opened, strict=True)
    return [next(left) if isinstance(each, Opened) else Result(file, error=str(each)) for file, each in pairs], refused


def _explain_opened(
    job: PictureJob, pictures: Sequence[Opened], refused: Mapping[str, str]
) -> tuple[list[Explained], Mapping[str, str]]:
    """All methods and targets, for the pictures of a batch that could be read."""
    if not pictures:
        return [], refused
    model = job.model
    images = torch.stack([picture.image for picture in pictures]).to(next(model.model.parameters()))
    with reading(model.reading), evaluating(model.model), torch.no_grad():
        logits = _scores(job, images)
        check_class_names(job.class_names, logits)
        targets = _targets(job, logits)
        said = [_answers(model, logits, target) for target in targets] if logits is not None else []
        regions = regions_of(model.model, images)
    attempts, refused = try_methods(job, images, targets, refused)
    if len(refused) == len(job.methods):
        raise _none_applies(model.name, refused)
    trust = try_trust(job, images, targets if logits is not None else [], attempts)
    explained = [
        Explained(
            picture.file,
            picture.crop,
            picture.view,
            picture.marked,
            model,
            None if logits is None else logits[at],
            tuple(each[at] for each in said),
            job.methods,
            {name: rows[at] for name, rows in attempts.items()},
            job.against,
            tuple(stage[at] for stage in regions),
            picture.window,
            trust[at],
            job.choice.short if job.choice else "",
            picture.warning,
        )
        for at, picture in enumerate(pictures)
    ]
    return explained, refused


def _scores(job: PictureJob, images: Images) -> Logits | None:
    """The class scores; None where the model has none, and none are asked for."""
    model = job.model
    try:
        check_classifier(model.model, images)
        return logits_of(run(model.model, images.clone()), model.name, len(images))
    except NoClassScores:
        if job.target != "predicted" or job.against:
            raise
        return None


def _targets(job: PictureJob, logits: Logits | None) -> list[Target]:
    """What each row of a sheet explains."""
    classes = None if logits is None else choose_classes(job.target, job.model.class_names, logits)
    if logits is None or classes is None or (logits.shape[1] == 1 and job.target in ("predicted", "top-1")):
        return [Predicted()]  # of a binary score, the side that it is on
    return [Classes(tuple(column.tolist())) for column in classes.T]


def _answers(model: LoadedModel, logits: Logits, target: Target) -> list[Answer]:
    """What is explained of each picture."""
    direction = target(logits)
    index = direction.argmax(1)
    against = (direction.gather(1, index[:, None])[:, 0] < 0).tolist()
    names, link = model.class_names, model.reading.link
    return [
        answer(at, scores, names, link, opposed=opposed)
        for at, scores, opposed in zip(index.tolist(), logits, against, strict=True)
    ]


def _none_applies(model: str, refused: Mapping[str, str]) -> ObservationError:
    if len(refused) == 1:
        return ObservationError(*refused.values())
    reasons = "\n".join(f"{', '.join(names)}: {reason}" for reason, names in by_reason(refused).items())
    return ObservationError(f"no method applies to `{model}`.\n{reasons}")


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
