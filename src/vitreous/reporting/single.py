"""One picture explained in memory, for pages that are live: its case, and what else is asked of it afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from vitreous.errors import NotFinite
from vitreous.explaining.batches import explain_images
from vitreous.explaining.found import Found, MethodResult
from vitreous.explaining.picture_job import PictureJob, complete_job, describe_job
from vitreous.explaining.trust.records import Trust
from vitreous.inside.given import NOTHING, Given
from vitreous.methods import title_of
from vitreous.methods.cases import method_case, said
from vitreous.render.case import Attempt, Case
from vitreous.render.view import View
from vitreous.reporting.command import command_of
from vitreous.reporting.facts import facts_of, notes_of, targets_of
from vitreous.reporting.related import related
from vitreous.shapes import Images
from vitreous.trace.answer import Answer
from vitreous.trace.target import Target

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Single", "explain_single"]

_SHOWN = 1024
"""Longest side of what is kept of a picture, in pixels: pages show less."""


@dataclass(frozen=True)
class Single:
    """A picture that was found.

    Attributes:
        case: as pages show it.
        image: what the model saw.
        targets: what each class of the case stands for; none without a classifier.
        heatmaps: by method that gave one, for each class; None where it gave none.
        predicted: the most probable classes.
        classes: index of each class of the case.
        against: what these are held against.
    """

    case: Case
    image: Images
    targets: tuple[Target, ...]
    heatmaps: Mapping[str, tuple[Tensor | None, ...]]
    predicted: tuple[Answer, ...]
    classes: tuple[int, ...] = ()
    against: str = ""


def explain_single(
    job: PictureJob,
    picture: Image,
    name: str,
    file: Path | None = None,
    before: Single | None = None,
    *,
    given: Given = NOTHING,
) -> Single:
    """Explain a picture; no file is read or written.

    Args:
        job: what to do; its output folder is not used.
        picture: upright RGB.
        name: of it, without folders.
        file: that a command would name, where one could ask for the same.
        before: of the same picture and model: how patches are related is taken from there, as far as it is the same.
        given: what is shown besides.

    Raises:
        ObservationError: no method applies to the model.
        ExplainError: the picture does not fit the model, or the model fails.
    """
    job = complete_job(job)
    preprocess = job.model.prepared()
    image, view = preprocess(picture), View(picture, preprocess.box(picture)).shrunk(_SHOWN)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    (found,), _ = explain_images(job, [image], {})
    if isinstance(found, NotFinite):
        raise found
    batch = image[None].to(next(job.model.model.parameters()))
    classes = tuple(each.index for each in found.targets)
    targets = targets_of(job, classes)
    case = _case(job, found, view, name, started, told=picture.info)
    if before and (before.classes, before.against) == (classes, job.against):
        case = replace(case, relations=before.case.relations, regions=before.case.regions, inside=before.case.inside)
    else:
        case = related(case, job.model, batch, targets, before.case if before else None, given=given)
    case = replace(case, command=command_of(job, file, given) if file else "")
    heatmaps = {
        method: tuple(each.heatmap if isinstance(each, MethodResult) else None for each in attempts)
        for method, attempts in found.attempts.items()
    }
    return Single(case, batch, tuple(targets), heatmaps, found.predicted, classes, job.against)


def _case(
    job: PictureJob, found: Found, view: View, name: str, started: str, *, told: Mapping[str | tuple[int, int], Any]
) -> Case:
    """What is known of the picture; `told` is what reading it has found out."""
    classes = [said(each, job.rival_name) for each in found.targets] or [None]
    methods = [
        method_case(method, title_of(method), made, [_attempt(each) for each in found.attempts[method]], layer)
        for method, made in job.methods.items()
        for layer in [found.layers.get(method, "")]
    ]
    return Case(
        name,
        view.part,
        methods,
        classes,
        [said(each) for each in found.predicted[:3]],
        notes_of(job, classes, told, warning=told.get("warning", ""), behind=found.scores_from),
        [each.to_json() if isinstance(each, Trust) else each for each in found.trust],
        facts=facts_of(job, describe_job(job) | {"started": started}, found.scores_from),
        whole=None if view.is_whole else view.marked(),
        box=view.shares,
    )


def _attempt(found: MethodResult | str) -> Attempt:
    if isinstance(found, str):
        return Attempt(None, found)
    return Attempt(found.heatmap.detach().float().cpu().numpy(), found=found.detail.to_json() if found.detail else None)
