"""AttCAT: attentive class activation tokens (Qiang et al., NeurIPS 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.errors import check_setting
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Family
from vitreous.shapes import Heatmap, Images, Weights
from vitreous.trace.blocks import observe_blocks
from vitreous.trace.gradient import gradients
from vitreous.trace.observed import TokenGrid
from vitreous.trace.target import Predicted, Target

__all__ = ["AttCAT", "attcat"]

Side = Literal["before", "after"]
"""Tokens as they go into a block, or as they come out."""


@dataclass(frozen=True)
class AttCAT:
    """Every layer's tokens times their gradient, weighted by the attention that they receive.

    heat_i = Σ_k ᾱ_ki · Σ_d h_kid · ∂y/∂h_kid, signed, where h_k are the tokens of block k and ᾱ_ki is the attention
    that token i receives there, averaged over heads and over the tokens that attend.

    Attributes:
        tokens: "before" takes h_k as it goes into block k, as the authors' code does; "after" as it comes out, as
            others read the paper. After the last block the class score of a class-token model depends on no patch.

    Needs global attention in blocks that hold one each, and float32 or better: each token's sum nearly cancels, since a
    norm does not care how long a token is, and bfloat16 is off by tenths of the largest value.
    Cost: one forward pass, one of the first image, and one backward pass.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "attcat").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "AttCAT"
    source: ClassVar[str] = (
        "Qiang et al., AttCAT: Explaining Transformers via Attentive Class Activation Tokens, NeurIPS 2022"
    )
    family: ClassVar[Family] = "attention"
    signed: ClassVar[Literal[True]] = True

    tokens: Side = "before"

    def __call__(self, model: nn.Module, images: Images, target: Target = Predicted()) -> Explanation:  # noqa: B008
        """Explain a batch of normalised images."""
        check_setting("tokens", self.tokens, get_args(Side))
        trace, blocks = observe_blocks(model, images)
        logits = trace.logits.detach()
        direction = target(logits)
        tokens = [block.before if self.tokens == "before" else block.after for block in blocks]
        grads = gradients(trace.logits, direction, tokens, trace.model)
        activations = [(h * g).sum(-1) for h, g in zip(tokens, grads, strict=True)]
        heatmap = attcat(trace.tokens, [block.attention.weights for block in blocks], activations)
        return Explanation(heatmap.detach(), logits, direction.argmax(1), self)


def attcat(
    tokens: TokenGrid, weights: Sequence[Weights], activations: Sequence[Float[Tensor, "batch tokens"]]
) -> Heatmap:
    """From every layer's attention and its tokens' activations."""
    maps = [w.mean((1, 2)) * activation for w, activation in zip(weights, activations, strict=True)]
    return tokens.heatmap(torch.stack(maps).sum(0))
