"""What explaining a picture finds, before anything is drawn or written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.explaining.trust.records import Trust
from vitreous.methods.explanation import Detail
from vitreous.models.loaded import LoadedModel
from vitreous.trace.answer import Answer, best_answers

__all__ = ["Found", "MethodResult", "stack_maps"]


@dataclass(frozen=True)
class MethodResult:
    """What a method gave for one picture and class: the raw map, its details and the layer it read, if any.

    Attributes:
        signed: the map has two sides.
        scoreless: it is the same for every class.
        blocks: it is of whole blocks.
    """

    heatmap: Tensor
    detail: Detail | None = None
    layer: str = ""
    signed: bool = False
    scoreless: bool = False
    blocks: bool = False


@dataclass(frozen=True)
class Found:
    """What is found of one picture.

    Attributes:
        model: that saw it.
        logits: its class scores; None where it has no classifier.
        targets: the classes explained; none of a model without a classifier.
        attempts: by method, for each of these classes what it found, or why there is nothing; without any, for none.
        regions: where the model segments the picture, its region maps, stage by stage.
        trust: per target, what its maps are worth, or why that cannot be said; empty where nobody asked.
        scores_from: in words, where its class scores were found, if it does not return them; as in `Explanation`.
    """

    model: LoadedModel
    logits: Float[Tensor, " classes"] | None
    targets: tuple[Answer, ...]
    attempts: Mapping[str, Sequence[MethodResult | str]]
    regions: tuple[Tensor, ...] = ()
    trust: tuple[Trust | str, ...] = ()
    scores_from: str = ""

    @property
    def predicted(self) -> tuple[Answer, ...]:
        """The most probable classes, best first, at most five; the values of a regression, in order."""
        if self.logits is None:
            return ()
        return best_answers(self.logits, self.model.class_names, self.model.reading.link)

    @property
    def methods(self) -> tuple[str, ...]:
        """Those that gave at least one map."""
        return tuple(
            name for name, found in self.attempts.items() if any(isinstance(each, MethodResult) for each in found)
        )

    @property
    def details(self) -> dict[str, list[Detail | None]]:
        """By method that gave any, for each of the classes explained."""
        found = {
            name: [each.detail if isinstance(each, MethodResult) else None for each in attempts]
            for name, attempts in self.attempts.items()
        }
        return {name: details for name, details in found.items() if any(details)}

    @property
    def layers(self) -> dict[str, str]:
        """By method that read one layer's output, its dotted name."""
        read = {
            name: [each for each in found if isinstance(each, MethodResult)] for name, found in self.attempts.items()
        }
        return {name: found[0].layer for name, found in read.items() if found and found[0].layer}

    @property
    def refused(self) -> dict[str, str]:
        """By method that gave no map for a class, why."""
        reasons = {name: [each for each in found if isinstance(each, str)] for name, found in self.attempts.items()}
        return {name: found[0] for name, found in reasons.items() if found}


def stack_maps(attempts: Sequence[MethodResult | str]) -> Tensor:
    """One map per target, (targets, h, w), NaN where there is none; there is at least one."""
    blank = torch.full_like(next(each.heatmap for each in attempts if isinstance(each, MethodResult)), torch.nan)
    return torch.stack([each.heatmap if isinstance(each, MethodResult) else blank for each in attempts])
