"""Beyond Intuition, head-wise (Chen et al., TMLR 2023)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from vitreous.methods.explanation import Explanation
from vitreous.methods.feedback import feedback, first_layer
from vitreous.methods.method import Family
from vitreous.methods.requirements import check_class_token
from vitreous.methods.transformer_attribution import multiply_up
from vitreous.settings.typed import Passes
from vitreous.shapes import Images, Weights
from vitreous.trace.observe import observe
from vitreous.trace.observed import rows_read
from vitreous.trace.target import Predicted, Target

__all__ = ["BTHead", "weigh_heads"]


@dataclass(frozen=True)
class BTHead:
    """Attention with its heads weighted by their gradients, followed up, times the last layer's integrated gradient.

    R ← R + (Σ_h I_h·A_h) R from R = I, where I_h = mean |A_hᵀ ∂y/∂A_h| over all tokens, divided by its sum over heads.
    heat = R ⊙ mean over heads of ReLU(mean over α in [0, 1] of ∂y(αx)/∂A_K), class-token row. y is the logit.

    The authors' segmentation script adds the mean of the patches' rows to the class token's; this is their perturbation
    script, which does not.

    Attributes:
        start_layer: the first layer of the product, from 0; None is a quarter of the depth, the authors' 3 of 12.
        steps: values of α, both ends counted.

    Needs a class token that the classifier reads, and global attention.
    Cost: a forward and a backward pass, then `steps` forward passes, each with the backward pass of the last block.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "bt_head", steps=3).heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "BT-head"
    source: ClassVar[str] = (
        "Chen et al., Beyond Intuition: Rethinking Token Attributions inside Transformers, TMLR 2023"
    )
    family: ClassVar[Family] = "class_token"

    start_layer: int | None = None
    steps: Passes = 20

    def __call__(self, model: nn.Module, images: Images, target: Target = Predicted()) -> Explanation:  # noqa: B008
        """Explain a batch of normalised images."""
        trace = observe(model, images)
        attentions, tokens, logits = trace.global_attentions, trace.tokens, trace.logits.detach()
        direction = target(logits)
        kept = attentions[first_layer(self.start_layer, len(attentions), 3) :]
        gradients = trace.gradients(direction, kept)
        tokens = check_class_token(tokens, trace.model, "bt_head", tokens.of_extra(rows_read(gradients[-1])))
        steps = [weigh_heads(a.weights.detach(), g) for a, g in zip(kept, gradients, strict=True)]
        del trace, attentions, kept, gradients  # the graph of this pass is not needed in the next
        answer = feedback(model, images, direction, self.steps, tokens)
        return Explanation(multiply_up(tokens, steps) * tokens.heatmap(answer), logits, direction.argmax(1), self)


def weigh_heads(weights: Weights, gradients: Weights) -> Float[Tensor, "batch tokens tokens"]:
    """One layer's attention, its heads averaged by their importance."""
    importance = (weights.mT @ gradients).abs().mean((2, 3), keepdim=True)
    return (weights * importance / importance.sum(1, keepdim=True)).sum(1)
