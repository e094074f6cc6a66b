"""Attention Guided CAM (Leem & Seo, AAAI 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from vitreous.errors import ObservationError
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Family
from vitreous.methods.requirements import check_class_token
from vitreous.shapes import ClassRow, Heatmap, Images, Logits, Weights
from vitreous.trace.edit import stop_gradient
from vitreous.trace.observe import observe
from vitreous.trace.observed import TokenGrid, rows_read
from vitreous.trace.stream import Stream, follow_stream, replay
from vitreous.trace.target import Predicted, Target

__all__ = ["AGCAM", "ag_cam", "skip_path_rows"]


@dataclass(frozen=True)
class AGCAM:
    """Skip-path gradients guided by sigmoid-normalised attention scores, over all layers and heads.

    heat = Σ_layers Σ_heads ReLU(∂y/∂A) · σ(S), on the class-token row (their eq. 7 and 8), where S are the attention
    scores before softmax and A the weights after it. Gradients travel between blocks through the skip connections and
    MLPs only: the input of every attention is detached (their eq. 5).

    As in the authors' code, and not stated in the paper, S is scaled by 1/√width inside the sigmoid.

    Attributes:
        scale: what S is multiplied by there. The paper's literal QKᵀ is the square root of a head's width: 8.0 for 64.

    Needs a class token that the classifier reads, and global attention.
    Cost: on a plain ViT with fused attention, one forward pass and a backward pass of the extra tokens alone; on any
    other, two forward passes and a backward pass. The numbers are the same.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "ag_cam").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "AG-CAM"
    source: ClassVar[str] = "Leem & Seo, Attention Guided CAM, AAAI 2024"
    family: ClassVar[Family] = "class_token"

    scale: float = 1.0

    def __call__(self, model: nn.Module, images: Images, target: Target = Predicted()) -> Explanation:  # noqa: B008
        """Explain a batch of normalised images."""
        stream = follow_stream(model, images)
        check_class_token(stream.tokens, type(model).__name__, "ag_cam")
        direction = target(stream.logits)
        rows = skip_path_rows(model, images, stream, direction)
        tokens = check_class_token(stream.tokens, type(model).__name__, "ag_cam", rows_read(rows[-1][1]))
        at = tokens.extra_places.index(tokens.class_token)
        heatmap = ag_cam(tokens, [(self.scale * scores[:, :, at], gradient[:, :, at]) for scores, gradient in rows])
        return Explanation(heatmap, stream.logits, direction.argmax(1), self)


def ag_cam(tokens: TokenGrid, rows: Sequence[tuple[ClassRow, ClassRow]]) -> Heatmap:
    """Their eq. 8 from the class-token rows, (batch, heads, tokens), of scores and gradients per layer."""
    maps = torch.stack([(gradient.relu() * scores.sigmoid()).sum(1) for scores, gradient in rows]).sum(0)
    return tokens.heatmap(maps)


def skip_path_rows(
    model: nn.Module, images: Images, stream: Stream, direction: Logits
) -> list[tuple[Weights, Weights]]:
    """The extra tokens' rows of scores and skip-path gradients per layer: on these tokens alone where possible.

    Raises:
        ObservationError: what is cut off with the inputs of the attention modules is the skip path as well.
    """
    gradients = replay(model, images, stream, direction)
    if gradients is None:
        with stop_gradient(model, set(stream.names)):
            trace = observe(model, images)
        attentions = trace.global_attentions
        gradients = trace.gradients(direction, attentions)
        if "" in stream.names or (gradients[-1].any() and not all(each.any() for each in gradients)):
            raise ObservationError(
                f"`{type(model).__name__}` attends in modules that hold the skip path too, which AG-CAM follows. "
                "Move attention into modules of its own, or use `generic_attention`."
            )
        scores = [stream.tokens.of_extra(attention.scores.detach(), 2) for attention in attentions]
        gradients = [stream.tokens.of_extra(gradient, 2) for gradient in gradients]
    else:
        scores = list(stream.scores)
    return list(zip(scores, gradients, strict=True))
