"""What is followed while patches are hidden: a number per masked picture, and what the model says of each."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.errors import DegenerateMap
from vitreous.masking.moves import moving_values
from vitreous.models.loaded import LoadedModel
from vitreous.shapes import Logits
from vitreous.trace.answer import answer, is_opposed, score_name
from vitreous.trace.reading import Reading, link_of
from vitreous.trace.target import Classes, Predicted, Scalar, Scale, Target

__all__ = ["follow", "other_classes", "read_for", "said_of"]

_NAME = "trust"


def read_for(how: Reading, target: Target) -> Reading:
    """How scores are read: a function of them is measured on them, not on what they stand for."""
    return replace(how, link="identity") if isinstance(target, Scalar) else how


def follow(
    logits: Float[Tensor, "masks classes"], target: Target, subject: LoadedModel
) -> tuple[Float[Tensor, " masks"], str]:
    """What is explained, of each masked version of one picture, the first being the picture itself; and what that is.

    The probability; or the score, where hiding moves no probability.

    Raises:
        DegenerateMap: hiding moves no score either.
    """
    if isinstance(target, Scalar):
        values = target.function(logits)[None, :, None]
        return moving_values(values, values.new_ones(1, 1), "logit", _NAME)[0], "what was asked for"
    direction = target(logits[:1])
    values, scale = _moving(logits, direction)
    words = _words(direction[0], subject, scale)
    opposed = bool(direction.max() <= 0) and scale == "probability" and link_of(logits.shape[1]) != "identity"
    return values + 1 if opposed else values, words  # that it is not the class: 1 − its probability


def said_of(logits: Float[Tensor, "masks classes"], subject: LoadedModel) -> tuple[str, ...]:
    """The most probable class of each masked version, and its probability; empty texts of values of a regression."""
    names, link = subject.class_names, subject.reading.link
    if link_of(logits.shape[1]) == "identity" and logits.shape[1] > 1:
        return ("",) * len(logits)
    best = zip(logits.argmax(1).tolist(), logits, strict=True)
    return tuple(str(answer(index, scores, names, link, opposed=is_opposed(scores, link))) for index, scores in best)


def other_classes(target: Target, logits: Logits) -> Classes | None:
    """Per picture, the most probable class but for the one explained; None where there is none to hold it against."""
    if logits.shape[1] == 1 or not isinstance(target, Predicted | Classes):
        return None
    rest = logits.masked_fill(target(logits) != 0, -torch.inf)
    return Classes(tuple(rest.argmax(1).tolist()))


def _moving(
    logits: Float[Tensor, "masks classes"], direction: Float[Tensor, "1 classes"]
) -> tuple[Float[Tensor, " masks"], Scale]:
    try:
        return moving_values(logits[None], direction, "probability", _NAME)[0], "probability"
    except DegenerateMap:
        return moving_values(logits[None], direction, "logit", _NAME)[0], "logit"


def _words(direction: Float[Tensor, " classes"], subject: LoadedModel, scale: Scale) -> str:
    link, count = subject.reading.link, len(direction)
    word = "" if link_of(count) == "identity" else "score of " if scale == "logit" else "probability of "
    best, worst = (
        score_name(int(at), subject.class_names, count, link) for at in (direction.argmax(), direction.argmin())
    )
    if direction.max() <= 0:
        return f"{word}not {worst}"
    return f"{word}{best} minus that of {worst}" if direction.min() < 0 else f"{word}{best}"
