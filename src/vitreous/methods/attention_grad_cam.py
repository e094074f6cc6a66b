"""Grad-CAM on attention (Selvaraju et al., ICCV 2017, as Chefer et al., CVPR 2021, put it to ViTs)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Family
from vitreous.methods.requirements import check_class_token
from vitreous.methods.shared import FromObservation
from vitreous.shapes import Heatmap, Images, Weights
from vitreous.trace.observe import observe
from vitreous.trace.observed import TokenGrid, Trace, rows_read
from vitreous.trace.target import Target

__all__ = ["AttentionGradCAM", "attention_grad_cam"]


@dataclass(frozen=True)
class AttentionGradCAM(FromObservation[Trace]):
    """Grad-CAM with the last layer's heads as channels: each head's map weighted by its mean gradient.

    heat = ReLU(mean over heads of w_h · A_h), w_h = mean over patches of ∂y/∂A_h, both on the class-token row of the
    last layer without its class column. Chefer's code min-maxes the map afterwards; here it stays raw.

    Needs a class token that the classifier reads, and global attention.
    Cost: one forward pass and the backward pass of the last block.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "attention_grad_cam").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "Attention Grad-CAM"
    source: ClassVar[str] = "Selvaraju et al., Grad-CAM, ICCV 2017; on attention by Chefer et al., CVPR 2021"
    family: ClassVar[Family] = "class_token"

    @property
    def observation(self) -> Callable[[nn.Module, Images], Trace]:
        """`observe`."""
        return observe

    def of(self, seen: Trace, target: Target) -> Explanation:
        """Explain what was observed."""
        last, tokens, logits = seen.global_attentions[-1], seen.tokens, seen.logits
        direction = target(logits.detach())
        (gradients,) = seen.gradients(direction, [last])
        tokens = check_class_token(tokens, seen.model, "attention_grad_cam", tokens.of_extra(rows_read(gradients)))
        heatmap = attention_grad_cam(tokens, last.weights.detach(), gradients)
        return Explanation(heatmap, logits.detach(), direction.argmax(1), self)


def attention_grad_cam(tokens: TokenGrid, weights: Weights, gradients: Weights) -> Heatmap:
    """Heads as channels, from the last layer's weights and their gradients."""
    row, slope = (tokens.of_patches(each[:, :, tokens.class_token]) for each in (weights, gradients))
    return tokens.unflatten((slope.mean(-1, keepdim=True) * row).mean(1).relu())
