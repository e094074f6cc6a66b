"""Transformer attribution (Chefer, Gur & Wolf, CVPR 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.errors import RuleError, check_setting
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Family
from vitreous.methods.readout import Readout, first_row
from vitreous.methods.requirements import check_class_token, check_one_sign
from vitreous.relevance.composites import chefer
from vitreous.relevance.propagate import propagate
from vitreous.relevance.rules import EPSILON
from vitreous.shapes import Heatmap, Images, Logits
from vitreous.trace.observe import observe
from vitreous.trace.observed import TokenGrid, rows_read
from vitreous.trace.target import Predicted, Target

__all__ = ["TransformerAttribution", "as_shares", "multiply_up"]


@dataclass(frozen=True)
class TransformerAttribution:
    """Relevance times gradient of every attention, positive part, multiplied through the layers.

    Class-token row of (M_K + I) · … · (M_s + I), M_k = mean over heads of ReLU(∂y/∂A_k ⊙ R_k), where R_k is the
    relevance of the attention weights by the rules of `chefer`, started from 1 at the class (of a function of the
    scores, from its gradient, scaled to add up to 1).

    As in the authors' code: no row normalisation, ½ on both sides of each product of activations. Where their code
    takes totals over the batch, which must be one image there, ours takes them per image.

    Attributes:
        start_layer: the first layer multiplied, from 0. The authors' ViT evaluation scripts leave layer 0 out: 1.
        epsilon: the stabilizer of every division in the relevance rules.

    Needs a class token that the classifier reads, and global attention. What is explained must not have both signs, as
    one class against another has: these rules scale relevance by its total, which would be 0 and rounding. Run it in
    float64 for numbers to rely on: divisions by sums near zero make single precision differ by percents,
    and half precision is refused.
    Cost: one forward pass with attention written out, a backward pass, and a relevance pass of about three forward
    passes.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "transformer_attribution").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "Transformer attribution"
    source: ClassVar[str] = "Chefer, Gur & Wolf, Transformer Interpretability Beyond Attention Visualization, CVPR 2021"
    family: ClassVar[Family] = "class_token"

    start_layer: int = 0
    epsilon: float = EPSILON

    def __call__(self, model: nn.Module, images: Images, target: Target = Predicted()) -> Explanation:  # noqa: B008
        """Explain a batch of normalised images."""
        try:
            with propagate(model, chefer(epsilon=self.epsilon)) as suspended:
                trace = observe(model, images)
        except RuleError:
            _ = observe(model, images).global_attentions  # without such a one, that is the better reason
            raise
        attentions, tokens = trace.global_attentions, trace.tokens
        check_setting("start_layer", self.start_layer, range(len(attentions)))
        logits = trace.logits.detach()
        direction = check_one_sign(
            target(logits), "transformer_attribution", "Use `generic_attention` or `attn_lrp`, or explain a class."
        )
        kept = attentions[self.start_layer :]
        with suspended():
            gradients = trace.gradients(direction, kept)
        tokens = check_class_token(
            tokens, trace.model, "transformer_attribution", tokens.of_extra(rows_read(gradients[-1]))
        )
        relevances = trace.gradients(as_shares(direction), kept)
        steps = [(g * r).relu().mean(1) for g, r in zip(gradients, relevances, strict=True)]
        return Explanation(multiply_up(tokens, steps), logits, direction.argmax(1), self)


def as_shares(direction: Logits) -> Logits:
    """The direction, its parts adding up to 1 without their signs: the rules' stabilizer is made for such relevance.

    >>> import torch
    >>> as_shares(torch.tensor([[0.0, 3e-9, 1e-9]]))
    tensor([[0.0000, 0.7500, 0.2500]])
    """
    return F.normalize(direction, 1.0, 1, eps=torch.finfo(direction.dtype).tiny)


def multiply_up(
    tokens: TokenGrid, steps: Sequence[Float[Tensor, "batch tokens tokens"]], readout: Readout = "class"
) -> Heatmap:
    """The row read out of the product of (M + I), first layer first in the list."""
    row = first_row(tokens, steps[0], readout)
    for step in reversed(steps):
        row = row + row @ step
    return tokens.heatmap(row[:, 0])
