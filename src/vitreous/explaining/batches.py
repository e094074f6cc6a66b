"""All methods and targets on the pictures of a batch: what is found, before anything is drawn or written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.errors import NoClassScores, NotFinite, ObservationError
from vitreous.explaining.asked import check_class_names
from vitreous.explaining.attempts import try_methods, try_trust
from vitreous.explaining.found import Found
from vitreous.explaining.picture_job import PictureJob, by_reason
from vitreous.explaining.targets import choose_classes
from vitreous.interact.relations import regions_of
from vitreous.models.loaded import LoadedModel
from vitreous.shapes import Images, Logits
from vitreous.trace.answer import Answer, answer
from vitreous.trace.classifier import check_classifier
from vitreous.trace.once import measuring_once
from vitreous.trace.reading import reading
from vitreous.trace.running import run
from vitreous.trace.settled import evaluating
from vitreous.trace.target import Classes, Predicted, Target, logits_of
from vitreous.trace.telling import telling

__all__ = ["explain_images"]


def explain_images(
    job: PictureJob, images: Sequence[Float[Tensor, "channels height width"]], refused: Mapping[str, str]
) -> tuple[list[Found | NotFinite], Mapping[str, str]]:
    """What is found of each picture, or that it has no finite class scores; and why methods do not apply to the model.

    Args:
        job: whose settings hold.
        images: that run at once, as the model takes them.
        refused: by method that is known not to apply to the model, why.

    Raises:
        UnknownName: the model has no such target, or does not allow a method's setting.
        ShapeError: class names are given, and not one for each score.
        ObservationError: no method applies to the model.
    """
    if not images:
        return [], refused
    try:
        with measuring_once():
            explained, refused = _explain_together(job, torch.stack([*images]), refused)
        return [*explained], refused
    except NotFinite as error:
        if len(images) == 1:
            return [error], refused
    found: list[Found | NotFinite] = []
    for image in images:  # one picture does not stop the others
        one, refused = explain_images(job, [image], refused)
        found += one
    return found, refused


def _explain_together(
    job: PictureJob, images: Images, refused: Mapping[str, str]
) -> tuple[list[Found], Mapping[str, str]]:
    """All methods and targets.

    Raises:
        NotFinite: one of the pictures has no finite class scores.
    """
    model = job.model
    images = images.to(next(model.model.parameters()))
    with reading(model.reading), evaluating(model.model), torch.no_grad(), telling() as told:
        logits = _scores(job, images)
        check_class_names(job.class_names, logits)
        targets = _targets(job, logits)
        said = [_answers(model, logits, target) for target in targets] if logits is not None else []
        regions = regions_of(model.model, images)
    attempts, refused = try_methods(job, images, targets, refused)
    if len(refused) == len(job.methods):
        raise _none_applies(model.name, refused)
    trust = try_trust(job, images, targets if logits is not None else [], attempts)
    found = [
        Found(
            model,
            None if logits is None else logits[at],
            tuple(each[at] for each in said),
            {name: rows[at] for name, rows in attempts.items()},
            tuple(stage[at] for stage in regions),
            trust[at],
            "; ".join(told),
        )
        for at in range(len(images))
    ]
    return found, refused


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
    reasons = " ".join(f"By {', '.join(names)}: {reason}" for reason, names in by_reason(refused).items())
    return ObservationError(f"no method applies to `{model}`. {reasons}")
