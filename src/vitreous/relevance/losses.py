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
"""Of what arrived for an image: more lost than left is told.

Measured on four noise images of each of 29 networks, untrained three times, at 96 pixels: 1.1 to 2.1 of a RepViT and a
MobileOne, 0.51 to 0.75 of a FastViT, 0.19 to 0.47 of the smallest TinyNet, at most 0.26 of the others, all of
convolutions that see one channel or few; a millionth where they see many.
"""


@dataclass(frozen=True)
class Losses:
    """What convolutions got and did not hand on, of each that relevance passed, by image."""

    _images: int
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
                self._arrived.append(self._by_image(arrived))
                self._lost.append(self._by_image(arrived - handed.flatten(1).sum(1)))
            return shares

        return measured

    def _by_image(self, rows: Tensor) -> Tensor:
        """(rows,) -> (images,): an image is several rows where a model cuts it up; other counts are nobody's own."""
        if len(rows) % self._images:
            return rows.abs().sum().expand(self._images)
        return rows.abs().view(self._images, -1).sum(1)

    @property
    def share(self) -> float:
        """All that was lost, of the most that any convolution got: of the image of which it is most."""
        if not self._arrived:
            return 0.0
        lost, arrived = torch.stack(self._lost).sum(0), torch.stack(self._arrived).amax(0)
        return (lost / arrived).nan_to_num().max().item()

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
