"""Attention rollout (Abnar & Zuidema, ACL 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.errors import check_setting
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Family
from vitreous.methods.readout import Readout, check_readout, first_row
from vitreous.methods.shared import FromObservation
from vitreous.shapes import Heatmap, Images
from vitreous.trace.observe import observe
from vitreous.trace.observed import TokenGrid, Trace
from vitreous.trace.target import Target

__all__ = ["Rollout", "rollout"]


@dataclass(frozen=True)
class Rollout(FromObservation[Trace]):
    """Attention multiplied through the layers, half of each for the skip path; the same for every class.

    Row of Â_K · … · Â_s, Â_k = (mean over heads of A_k + I) / row sum. Heads are averaged and nothing is discarded,
    as AG-CAM's authors ran it; with all layers their code and Chefer's are the same numbers.

    Attributes:
        start_layer: the first layer multiplied, from 0. Chefer's evaluation scripts leave layer 0 out: 1.
        readout: "class" reads the class token's row; "mean" averages the patches' rows, for models that pool them.
            A pooling head's own attention is not part of the product.

    Needs global attention, and a class token that the classifier reads unless readout="mean".
    Cost: one forward pass and the backward pass of the last block (to see which tokens the classifier reads).

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "rollout", start_layer=1).heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "Rollout"
    source: ClassVar[str] = "Abnar & Zuidema, Quantifying Attention Flow in Transformers, ACL 2020"
    family: ClassVar[Family] = "class_token"
    scoreless: ClassVar[Literal[True]] = True

    start_layer: int = 0
    readout: Readout = "class"

    @property
    def observation(self) -> Callable[[nn.Module, Images], Trace]:
        """`observe`."""
        return observe

    def of(self, seen: Trace, target: Target) -> Explanation:
        """Explain what was observed."""
        attentions = seen.global_attentions
        check_setting("start_layer", self.start_layer, range(len(attentions)))
        tokens = check_readout(seen, "rollout", self.readout)
        means = [attention.weights.detach().mean(1) for attention in attentions[self.start_layer :]]
        direction = target(seen.logits.detach())
        return Explanation(rollout(tokens, means, self.readout), seen.logits.detach(), direction.argmax(1), self)


def rollout(
    tokens: TokenGrid, means: Sequence[Float[Tensor, "batch tokens tokens"]], readout: Readout = "class"
) -> Heatmap:
    """The row read out of the product of the head-averaged attentions, first layer first."""
    row = first_row(tokens, means[0], readout)
    for mean in reversed(means):
        mixed = mean + torch.eye(tokens.tokens, dtype=mean.dtype, device=mean.device)
        row = row @ (mixed / mixed.sum(-1, keepdim=True))
    return tokens.heatmap(row[:, 0])
