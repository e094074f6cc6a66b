"""What a model says of a picture, in words: a class and its probability, or a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from vitreous.trace.reading import Reading, reading
from vitreous.trace.target import probabilities

__all__ = ["Answer", "answer", "assumed", "best_answers", "is_opposed", "rather", "score_name"]


@dataclass(frozen=True)
class Answer:
    """One score of a picture.

    Attributes:
        index: among the model's scores.
        name: of its class; "not …" for the other side of a binary score.
        score: as the model gave it.
        probability: that it stands for; None of a value.
    """

    index: int
    name: str
    score: float
    probability: float | None

    @property
    def shown(self) -> str:
        """The probability, or the value.

        >>> Answer(0, "age", 62.4, None).shown, Answer(0, "cat", 3.2, 0.9608).shown
        ('62.4', '96.1%')
        """
        return f"{self.score:.5g}" if self.probability is None else f"{self.probability:.1%}"

    def __str__(self) -> str:
        return f"{self.name} · {self.shown}"


def answer(
    index: int, scores: Float[Tensor, " classes"], names: Sequence[str], link: str | None, *, opposed: bool = False
) -> Answer:
    """What one of an image's scores says.

    Args:
        index: of the score.
        scores: of the image.
        names: of the classes; not used where they are not as many as the scores.
        link: what the scores stand for, as in a `Reading`.
        opposed: the other side of a binary score: that it is not this class.
    """
    name, score = score_name(index, names, len(scores), link), scores[index].item()
    if link == "identity":
        return Answer(index, name, score, None)
    with reading(Reading(link=link)):
        shares = probabilities(scores.double())
    share = shares[index].item()
    return Answer(index, f"not {name}", score, 1 - share) if opposed else Answer(index, name, score, share)


def best_answers(
    scores: Float[Tensor, " classes"], names: Sequence[str], link: str | None, most: int = 5
) -> tuple[Answer, ...]:
    """What an image's scores say: the most probable classes, best first; the values of a regression, in order."""
    if len(scores) == 1 or link == "identity":
        best: Sequence[int] = range(min(most, len(scores)))
    else:
        best = scores.topk(min(most, len(scores))).indices.tolist()
    opposed = is_opposed(scores, link)
    return tuple(answer(index, scores, names, link, opposed=opposed) for index in best)


def is_opposed(scores: Float[Tensor, " classes"], link: str | None) -> bool:
    """Whether an image's one score is a binary one that says that it is not this class.

    >>> import torch
    >>> is_opposed(torch.tensor([-1.0]), None), is_opposed(torch.tensor([-1.0]), "identity")
    (True, False)
    """
    return len(scores) == 1 and link != "identity" and scores[0].item() < 0


def score_name(index: int, names: Sequence[str], count: int, link: str | None) -> str:
    """The name of one of so many scores.

    >>> score_name(1, ("cat", "dog"), 2, None), score_name(1, (), 2, None), score_name(7, ("cat", "dog"), 384, None)
    ('dog', 'class 1', 'output 7')
    """
    if len(names) == count:
        return names[index]
    return f"output {index}" if names else f"{'value' if link == 'identity' else 'class'} {index}"


def rather(name: str, rival: str) -> str:
    """What is explained: a class, or it rather than another.

    >>> rather("cat", "dog"), rather("cat", "")
    ('cat rather than dog', 'cat')
    """
    return f"{name} rather than {rival}" if rival else name


def assumed(count: int, link: str | None) -> str:
    """What was taken for granted about so many scores; empty for nothing."""
    return 'its one score is taken for a binary one (link="sigmoid")' if count == 1 and link is None else ""
