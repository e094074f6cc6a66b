"""All methods on a batch of pictures: a picture that one of them refuses stops neither the others nor the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from vitreous.errors import ExplainError, NoClassScores, ObservationError, UnknownName
from vitreous.explaining.found import MethodResult
from vitreous.explaining.picture_job import PictureJob
from vitreous.explaining.targets import as_target, part_of
from vitreous.explaining.together import explain_by_all
from vitreous.explaining.trust.measure import TrustSettings, measure_trust
from vitreous.explaining.trust.records import Trust
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Method, ScorelessMethod
from vitreous.methods.shared import reason
from vitreous.shapes import Images
from vitreous.trace.target import Predicted, Target

__all__ = ["Attempts", "Trusted", "try_methods", "try_trust"]

Attempts = Mapping[str, Sequence[Sequence[MethodResult | str]]]
"""By method, per picture and target, what it found, or why there is nothing."""
Trusted = tuple[Trust | str, ...]
"""Per target, what the maps of a picture are worth, or why that cannot be said."""


def try_methods(
    job: PictureJob, images: Images, targets: Sequence[Target], refused: Mapping[str, str]
) -> tuple[dict[str, list[tuple[MethodResult | str, ...]]], Mapping[str, str]]:
    """By method, per picture and target, the map, or why there is none; and why methods do not apply to the model."""
    columns: dict[str, list[list[MethodResult | str]]] = {name: [] for name in job.methods}
    for target in targets:
        methods = {name: method for name, method in job.methods.items() if name not in refused}
        found = _attempt(job, methods, images, target)
        whole = {name: str(each) for name, each in found.items() if isinstance(each, NoClassScores | ObservationError)}
        refused = {**refused, **whole}
        for name, each in found.items():
            if not isinstance(each, NoClassScores | ObservationError):
                columns[name].append(each)
    maps = {name: list(zip(*each, strict=True)) for name, each in columns.items() if name not in refused}
    why: dict[str, list[tuple[MethodResult | str, ...]]] = {
        name: [(reason,) * len(targets)] * len(images) for name, reason in refused.items()
    }
    return maps | why, refused


def _attempt(
    job: PictureJob, methods: Mapping[str, Method], images: Images, target: Target
) -> dict[str, list[MethodResult | str] | NoClassScores | ObservationError]:
    """By method, per picture the map or why there is none; or why it does not apply to the model.

    A method that fails on a batch tries its pictures one by one.

    Raises:
        UnknownName: the model does not allow a setting.
    """
    found: dict[str, list[MethodResult | str] | NoClassScores | ObservationError] = {}
    wanted = _against(job, target)
    explained = explain_by_all(methods, job.model, images, wanted, batch_size=len(images), progress=job.progress)
    for name, each in explained.items():
        if isinstance(each, UnknownName):
            raise each
        if isinstance(each, Explanation):
            details = each.details or [None] * len(images)
            found[name] = [
                MethodResult(
                    *pair, each.layer, each.signed, isinstance(each.method, ScorelessMethod), blocks=each.blocks
                )
                for pair in zip(each.heatmap, details, strict=True)
            ]
        elif isinstance(each, NoClassScores | ObservationError):
            found[name] = each
        elif len(images) == 1:
            found[name] = [reason(each)]
        else:
            found[name] = _one_by_one(job, name, images, target)
    return found


def _against(job: PictureJob, target: Target) -> Target:
    """The target, held against the class that the job names, if any."""
    return as_target(None if isinstance(target, Predicted) else target, job.model.class_names, job.against or None)


def _one_by_one(
    job: PictureJob, name: str, images: Images, target: Target
) -> list[MethodResult | str] | NoClassScores | ObservationError:
    rows: list[MethodResult | str] = []
    for at, image in enumerate(images.split(1)):
        wanted = part_of(target, len(images), slice(at, at + 1))
        found = _attempt(job, {name: job.methods[name]}, image, wanted)[name]
        if isinstance(found, NoClassScores | ObservationError):
            return found
        rows += found
    return rows


def try_trust(job: PictureJob, images: Images, targets: Sequence[Target], attempts: Attempts) -> list[Trusted]:
    """Per picture and target, what its maps are worth, or why that cannot be said; nothing where nobody asked.

    Args:
        job: whose settings hold.
        images: of the batch.
        targets: that are explained.
        attempts: by method, per picture and target.
    """
    if job.trust is None:
        return [()] * len(images)
    rows: list[Trusted] = []
    for at, image in enumerate(images.split(1)):
        maps = [
            {name: found.heatmap for name, each in attempts.items() if isinstance(found := each[at][row], MethodResult)}
            for row in range(len(targets))
        ]
        wanted = [_against(job, part_of(target, len(images), slice(at, at + 1))) for target in targets]
        rows.append(tuple(_try_trust(job, image, *pair) for pair in zip(maps, wanted, strict=True)))
    return rows


def _try_trust(job: PictureJob, image: Images, maps: Mapping[str, Tensor], target: Target) -> Trust | str:
    if not maps:
        return "there is no map whose trust to measure. Choose another method or target."
    settings = job.trust or TrustSettings()
    try:
        return measure_trust(job.model, image, maps, job.methods, target, settings=settings, progress=job.progress)
    except (ExplainError, torch.OutOfMemoryError) as error:
        return reason(error)
