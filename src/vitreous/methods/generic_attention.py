"""Generic attention explainability (Chefer, Gur & Wolf, ICCV 2021)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from vitreous.errors import check_setting
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Family
from vitreous.methods.readout import Readout, check_readout
from vitreous.methods.shared import FromObservation
from vitreous.methods.transformer_attribution import multiply_up
from vitreous.shapes import Images
from vitreous.trace.observe import observe
from vitreous.trace.observed import Trace
from vitreous.trace.target import Target

__all__ = ["GenericAttention"]


@dataclass(frozen=True)
class GenericAttention(FromObservation[Trace]):
    """Attention times its gradient, positive part, multiplied through the layers.

    R ← R + M_k R from R = I, M_k = mean over heads of ReLU(∂y/∂A_k ⊙ A_k) (their eq. 5 and 6), so R is the product
    (M_K + I) · … · (M_s + I). The heat map is R's class-token row.

    Attributes:
        start_layer: the first layer multiplied, from 0. The authors use all of them.
        readout: "class" reads the class token's row; "mean" averages the patches' rows, for models that pool them,
            which the authors do not.

    Needs global attention, and a class token that the classifier reads unless readout="mean".
    Cost: one forward pass and one backward pass.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "generic_attention").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "Generic attention"
    source: ClassVar[str] = "Chefer, Gur & Wolf, Generic Attention-model Explainability, ICCV 2021"
    family: ClassVar[Family] = "class_token"

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
        tokens = check_readout(seen, "generic_attention", self.readout)
        logits, kept = seen.logits.detach(), attentions[self.start_layer :]
        direction = target(logits)
        gradients = seen.gradients(direction, kept)
        steps = [(g * a.weights.detach()).relu().mean(1) for g, a in zip(gradients, kept, strict=True)]
        return Explanation(multiply_up(tokens, steps, self.readout), logits, direction.argmax(1), self)
