"""Raw attention: the last layer's weights, head-averaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from vitreous.errors import check_setting
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

    AG-CAM's figures 1 and 3 show the sum over all layers and heads (here layers="all", their mean) of softmax or of
    sigmoid, whose likeness to the object and whose peaks they compare.

    Attributes:
        layers: "last", or "all": the mean over all of them.
        of_scores: "softmax", the attention weights, or "sigmoid" of the scores before softmax.
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

    layers: Literal["last", "all"] = "last"
    of_scores: Literal["softmax", "sigmoid"] = "softmax"
    readout: Readout = "class"

    @property
    def observation(self) -> Callable[[nn.Module, Images], Trace]:
        """`observe`."""
        return observe

    def of(self, seen: Trace, target: Target) -> Explanation:
        """Explain what was observed."""
        check_setting("layers", self.layers, ("last", "all"))
        check_setting("of_scores", self.of_scores, ("softmax", "sigmoid"))
        attentions = seen.global_attentions if self.layers == "all" else seen.global_attentions[-1:]
        tokens = check_readout(seen, "raw_attention", self.readout)
        read = [
            each.weights.detach() if self.of_scores == "softmax" else each.scores.detach().sigmoid()
            for each in attentions
        ]
        heatmap = torch.stack([raw_attention(tokens, each, self.readout) for each in read]).mean(0)
        logits = seen.logits.detach()
        return Explanation(heatmap, logits, target(logits).argmax(1), self)


def raw_attention(tokens: TokenGrid, weights: Weights, readout: Readout = "class") -> Heatmap:
    """The row read out of the head-averaged weights."""
    mean = weights.mean(1)
    return tokens.heatmap((first_row(tokens, mean, readout) @ mean)[:, 0])
