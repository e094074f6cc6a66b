"""Several methods on the same images: batch by batch, those that read the same on one pass."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from vitreous.errors import DegenerateMap, NoClassScores
from vitreous.explaining.targets import part_of, rivals
from vitreous.masking.forward import Progress
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Method, ScorelessMethod
from vitreous.methods.shared import Failure, explain_each
from vitreous.models.loaded import LoadedModel
from vitreous.trace.classifier import check_classifier
from vitreous.trace.once import measuring_once
from vitreous.trace.output import everything
from vitreous.trace.reading import as_scores, reading
from vitreous.trace.target import Classes, Predicted, Scalar, Target
from vitreous.trace.telling import telling

__all__ = ["explain_by_all"]


def explain_by_all(
    methods: Mapping[str, Method],
    subject: LoadedModel,
    images: Tensor,
    target: Target,
    *,
    batch_size: int,
    progress: Progress | None = None,
) -> dict[str, Explanation | Failure]:
    """Each method's explanation of all images, or why there is none.

    A model without a classifier is explained by the methods whose map is the same for every class, where nothing is
    asked but its prediction.

    Args:
        methods: by name, fitted to the model.
        subject: the model, and how it is read.
        images: its input.
        target: what to explain.
        batch_size: how many images run at once.
        progress: told by slow methods how far they are with a batch.
    """
    run = partial(_run, subject=subject, batch_size=batch_size, progress=progress)
    found: dict[str, Explanation | Failure]
    with measuring_once(), reading(subject.reading), telling() as told:
        try:
            check_classifier(subject.model, images)
            found = run(methods, images=images, target=target)
        except NoClassScores as error:
            found = dict.fromkeys(methods, error)
    behind = "; ".join(told)
    found = {
        name: replace(each, scores_from=behind) if isinstance(each, Explanation) else each
        for name, each in found.items()
    }
    scoreless = {
        name: method
        for name, method in methods.items()
        if isinstance(found[name], NoClassScores) and isinstance(method, ScorelessMethod)
    }
    if scoreless and isinstance(target, Predicted):
        with measuring_once(), reading(replace(subject.reading, output=everything, link="identity")):
            maps = run(scoreless, images=images, target=Classes((0,)))
        found |= {
            name: replace(each, logits=None, target=None, wanted=None) if isinstance(each, Explanation) else each
            for name, each in maps.items()
        }
    return found


def _run(
    methods: Mapping[str, Method],
    *,
    subject: LoadedModel,
    images: Tensor,
    target: Target,
    batch_size: int,
    progress: Progress | None,
) -> dict[str, Explanation | Failure]:
    parts: dict[str, list[Explanation]] = {name: [] for name in methods}
    failed: dict[str, Explanation | Failure] = {}
    # a function of the scores is measured on them, not on what they stand for
    with as_scores() if isinstance(target, Scalar) else nullcontext():
        for start in range(0, len(images), batch_size):
            part = slice(start, start + batch_size)
            left = {name: method for name, method in methods.items() if name not in failed}
            wanted = part_of(target, len(images), part)
            for name, each in explain_each(left, subject.model, images[part], wanted, progress=progress).items():
                if isinstance(each, Explanation):
                    parts[name].append(each)
                else:
                    failed[name] = _placed(each, start)
    return {name: failed.get(name) or _joined(parts[name], subject, target) for name in methods}


def _placed(error: Failure, start: int) -> Failure:
    """The error with the image's place among all, where it tells one."""
    return DegenerateMap(error.fact, error.image + start, error.remedy) if isinstance(error, DegenerateMap) else error


def _joined(parts: list[Explanation], subject: LoadedModel, target: Target) -> Explanation:
    """The explanations of all batches as one."""
    logits = torch.cat([part.logits for part in parts if part.logits is not None])
    explained = torch.cat([part.target for part in parts if part.target is not None])
    against = target(logits).gather(1, explained[:, None])[:, 0] < 0
    return Explanation(
        torch.cat([part.heatmap for part in parts]),
        logits,
        None if isinstance(target, Scalar) else explained,
        parts[0].method,
        subject.class_names,
        details=tuple(detail for part in parts for detail in part.details),
        layer=parts[0].layer,
        link=subject.reading.link,
        opposed=tuple(against.tolist()) if against.any() else (),
        against=rivals(target, logits),
        wanted=target,
    )
