"""What is found of concepts, in numbers and in words: the rows of a table."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from vitreous.inside.concepts import Concepts
from vitreous.inside.effects import Effects
from vitreous.render.numbers import number

__all__ = ["ConceptRow", "by_luck", "concept_rows", "too_few"]

_ONE_IN = 20
"""A verdict is given where chance does as much once in so many times: p ≤ 0.05."""


@dataclass(frozen=True)
class ConceptRow:
    """A concept; what was not measured is None.

    Attributes:
        concept: its number, from 0.
        share: of what all concepts hold, how much is its own.
        removed: how far the class score moves without it, the mean over pictures.
        random_low: the least that a random direction of the same length moves it, removed in its place.
        random_high: the most.
        chance: how often one moves it as far or farther, as `Effects.chance`.
        added: how far the score moves with the concept in every patch.
        random_added_low: the least by a random direction.
        random_added_high: the most.
        chance_added: as `Effects.chance_added`.
        verdict: in words; of too few random directions, that there is none.
    """

    concept: int
    share: float
    removed: float | None = None
    random_low: float | None = None
    random_high: float | None = None
    chance: float | None = None
    added: float | None = None
    random_added_low: float | None = None
    random_added_high: float | None = None
    chance_added: float | None = None
    verdict: str = ""


def concept_rows(found: Concepts, effects: Effects | None) -> list[ConceptRow]:
    """A row for each concept."""
    shares = found.shares.tolist()
    if effects is None:
        return [ConceptRow(at, share) for at, share in enumerate(shares)]
    removed, low, high = _told(effects.removed, effects.removed_by_chance)
    added, low_added, high_added = _told(effects.added, effects.added_by_chance)
    draws = len(effects.removed_by_chance)
    return [
        ConceptRow(
            at,
            share,
            removed[at],
            low[at],
            high[at],
            effects.chance[at].item(),
            added[at],
            low_added[at],
            high_added[at],
            effects.chance_added[at].item(),
            _verdict(removed[at], effects.chance[at].item(), draws),
        )
        for at, share in enumerate(shares)
    ]


def _told(
    own: Float[Tensor, "images concepts"], drawn: Float[Tensor, "draws images concepts"]
) -> tuple[list[float], list[float], list[float]]:
    means = drawn.double().mean(1)
    return own.double().mean(0).tolist(), means.amin(0).tolist(), means.amax(0).tolist()


def too_few(draws: int) -> str:
    """Why so many random directions decide nothing; empty where they can.

    >>> too_few(19)
    ''
    """
    if 1 + draws >= _ONE_IN:
        return ""
    return (
        f"no verdicts: by chance a concept beats all of {draws} random directions once in {1 + draws} times, and a "
        f"verdict wants p ≤ {1 / _ONE_IN:g}. Ask for {_ONE_IN - 1} random directions or more."
    )


def by_luck(concepts: int, draws: int) -> float:
    """How many of so many concepts would get a verdict if all were chance.

    >>> by_luck(8, 19), by_luck(21, 20)
    (0.4, 1.0)
    """
    return concepts * ((1 + draws) // _ONE_IN) / (1 + draws)


def _verdict(removed: float, chance: float, draws: int) -> str:
    """Whether the class rests on a concept, in a sentence.

    >>> _verdict(-0.5, 1 / 21, 20)
    'The class rests on it: without it the score falls by 0.5, farther than without any of 20 random directions.'
    >>> _verdict(0.5, 2 / 40, 39)[29:]
    'without it the score rises by 0.5, and as far or farther without 1 of 39 random directions.'
    >>> _verdict(-0.1, 6 / 21, 20)
    'No more than chance: without it the score falls by 0.1, and as far or farther without 5 of 20 random directions.'
    >>> _verdict(-0.5, 1 / 4, 3)
    'No verdict: without it the score falls by 0.5, farther than without any of 3 random directions.'
    """
    as_far = round(chance * (1 + draws))
    kind = "The class rests on it" if removed < 0 else "It speaks against the class"
    if too_few(draws):
        kind = "No verdict"
    elif _ONE_IN * as_far > 1 + draws:
        kind = "No more than chance"
    moved = f"without it the score {'falls' if removed < 0 else 'rises'} by {number(abs(removed))}"
    if as_far > 1:
        return f"{kind}: {moved}, and as far or farther without {as_far - 1} of {draws} random directions."
    return f"{kind}: {moved}, farther than without any of {draws} random directions."
