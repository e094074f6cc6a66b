"""Transition attention maps (Yuan et al., 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from vitreous.methods.explanation import Explanation
from vitreous.methods.feedback import feedback, first_layer
from vitreous.methods.method import Family
from vitreous.methods.requirements import check_class_token
from vitreous.settings.typed import Passes
from vitreous.shapes import Images
from vitreous.trace.observe import observe
from vitreous.trace.target import Predicted, Target

__all__ = ["TAM", "transition"]


@dataclass(frozen=True)
class TAM:
    """The class token's attention as a Markov chain going down the layers, times the integrated gradient of the last.

    s = class-token row of Ā_K, then s ← s + s·Ā_k for k = K-1 … start; Ā is the mean over heads.
    heat = s ⊙ mean over heads of ReLU(mean over α in [0, 1] of ∂y(αx)/∂A_K), class-token row.

    Attributes:
        start_layer: the last layer that the chain goes down to, from 0; None is a third of the depth, the authors' 4
            of 12 layers (they keep 4 for deeper models, too).
        steps: values of α, both ends counted.

    Needs a class token that the classifier reads, and global attention.
    Cost: steps + 1 forward passes, each with the backward pass of the last block.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "tam", steps=3).heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "TAM"
    source: ClassVar[str] = (
        "Yuan et al., Explaining Information Flow Inside Vision Transformers Using Markov Chain, 2021"
    )
    family: ClassVar[Family] = "class_token"

    start_layer: int | None = None
    steps: Passes = 20

    def __call__(self, model: nn.Module, images: Images, target: Target = Predicted()) -> Explanation:  # noqa: B008
        """Explain a batch of normalised images."""
        trace = observe(model, images)
        attentions, tokens, logits = trace.global_attentions, trace.tokens, trace.logits.detach()
        tokens = check_class_token(tokens, trace.model, "tam", tokens.of_extra(trace.read_tokens()))
        direction = target(logits)
        start = first_layer(self.start_layer, len(attentions), 4)
        means = [attention.weights.detach().mean(1) for attention in attentions[start:]]
        del trace, attentions  # the graph of this pass is not needed in the next
        heat = transition(means, tokens.class_token) * feedback(model, images, direction, self.steps, tokens)
        return Explanation(tokens.heatmap(heat), logits, direction.argmax(1), self)


def transition(
    means: Sequence[Float[Tensor, "batch tokens tokens"]], class_token: int = 0
) -> Float[Tensor, "batch tokens"]:
    """Where the chain stays, from the head-averaged attentions, first layer first, and the class token's place."""
    *lower, last = means
    state = last[:, class_token : class_token + 1]
    for mean in reversed(lower):
        state = state + state @ mean
    return state[:, 0]
