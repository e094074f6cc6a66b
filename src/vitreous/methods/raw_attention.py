"""Raw attention: the last layer's weights, head-averaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Family
from vitreous.methods.readout import Readout, check_readout, first_row
from vitreous.methods.shared import FromObservation
from vitreous.shapes import Heatmap, Images, Weights
from vitreous.trace.observe import observe
from vitreous.trace.observed import TokenGrid, Trace
from vitreous.trace.target import Target

__all__ = ["RawAttention", "raw_attention"]


@dataclass(frozen=True)
class RawAttention(FromObservation[Trace]):
    """Where the class token looks in the last layer, heads averaged; the same for every class.

    heat = mean over heads of A_K[class token, patches], Chefer's "last_layer_attn".

    Attributes:
        readout: "class" reads the class token's row; "mean" averages the patches' rows, for models that pool them.

    Needs global attention, and a class token that the classifier reads unless readout="mean".
    Cost: one forward pass and the backward pass of the last block (to see which tokens the classifier reads).

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "raw_attention").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "Raw attention"
    source: ClassVar[str] = "baseline of Chefer et al., Transformer Interpretability, CVPR 2021"
    family: ClassVar[Family] = "class_token"
    scoreless: ClassVar[Literal[True]] = True

    readout: Readout = "class"

    @property
    def observation(self) -> Callable[[nn.Module, Images], Trace]:
        """`observe`."""
        return observe

    def of(self, seen: Trace, target: Target) -> Explanation:
        """Explain what was observed."""
        weights = seen.global_attentions[-1].weights.detach()
        tokens = check_readout(seen, "raw_attention", self.readout)
        logits = seen.logits.detach()
        return Explanation(raw_attention(tokens, weights, self.readout), logits, target(logits).argmax(1), self)


def raw_attention(tokens: TokenGrid, weights: Weights, readout: Readout = "class") -> Heatmap:
    """The row read out of the head-averaged weights."""
    mean = weights.mean(1)
    return tokens.heatmap((first_row(tokens, mean, readout) @ mean)[:, 0])
