"""Relevance that convolutions hand to nobody, as none of their products is above zero: measured, and told."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from vitreous.errors import ExplainWarning
from vitreous.relevance.composites import CONVOLUTION
from vitreous.relevance.rule import Composite, Operation, Rule, Share

__all__ = ["Losses"]

_MOST = 0.5
"""Of what arrived: more lost is told.

Measured on 26 untrained networks at 64 and 96 pixels: 0.88 and more of RepViTs and MobileOnes, 0.58 to 0.66 of a
FastViT, at most 0.44 of the others (a TinyNet), all of convolutions that see one channel or few; a millionth elsewhere.
"""


@dataclass(frozen=True)
class Losses:
    """What convolutions got and did not hand on, of each that relevance passed."""

    _arrived: list[Tensor] = field(default_factory=list[Tensor])
    _lost: list[Tensor] = field(default_factory=list[Tensor])

    def watching(self, composite: Composite) -> Composite:
        """The same table, its rules of convolutions measured."""
        rules = {at: rule for at in CONVOLUTION if isinstance(rule := composite[at], Rule)}
        return {**composite, **{at: replace(rule, share=self._measured(rule.share)) for at, rule in rules.items()}}

    def _measured(self, share: Share) -> Callable[[Operation, Tensor], tuple[Tensor | None, ...]]:
        def measured(step: Operation, relevance: Tensor) -> tuple[Tensor | None, ...]:
            shares = share(step, relevance)
            if (handed := shares[0]) is not None:
                arrived = relevance.flatten(1).sum(1)
                self._arrived.append(arrived.abs().sum())
                self._lost.append((arrived - handed.flatten(1).sum(1)).abs().sum())
            return shares

        return measured

    @property
    def share(self) -> float:
        """All that was lost, of the most that any convolution got."""
        if not self._arrived:
            return 0.0
        return (torch.stack(self._lost).sum() / torch.stack(self._arrived).max()).nan_to_num().item()

    def tell(self, model: str) -> None:
        """Warn where most was lost, so that a map is of little more than the rest.

        Warns:
            ExplainWarning: it was.
        """
        if (share := self.share) > _MOST:
            warnings.warn(
                f"`lrp` lost {share:.2g} times the relevance that arrived at the convolutions of `{model}`: its rules "
                "have nobody to hand it to where all products of a convolution are negative, as happens where each "
                "sees a single channel. The map shows what is left. Use `attn_lrp`, or a method of layers such as "
                "`grad_cam`.",
                ExplainWarning,
                stacklevel=4,
            )
