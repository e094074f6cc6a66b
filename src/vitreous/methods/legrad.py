"""LeGrad (Bousselham et al., ICCV 2025)."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from vitreous.errors import ModelFailed, NoGlobalAttention, ObservationError, check_setting
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Family
from vitreous.shapes import Images
from vitreous.trace.blocks import find_blocks
from vitreous.trace.edit import change_output
from vitreous.trace.gradient import gradients
from vitreous.trace.observe import observe
from vitreous.trace.observed import Trace
from vitreous.trace.output import everything
from vitreous.trace.target import Predicted, Target

__all__ = ["LeGrad"]


@dataclass(frozen=True)
class LeGrad:
    """How much each layer's attention to a patch would raise the class score that the model gives to that layer.

    heat = Σ_k mean over heads and rows of ReLU(∂s_k/∂A_k), where s_k is the class score of layer k: what the model's
    own end (norm and head) says of the mean of all tokens after block k.

    Attributes:
        start_layer: the first layer of the sum, from 0. The paper sums over all; the authors' code over the last two.

    Needs global attention in blocks that hold one each, and a head that takes tokens as they are: for heads that pool
    them by attention the paper defines s_k otherwise.
    Cost: one forward pass, one of the first image, and one backward pass.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "legrad").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "LeGrad"
    source: ClassVar[str] = "Bousselham et al., LeGrad, ICCV 2025"
    family: ClassVar[Family] = "head"

    start_layer: int = 0

    def __call__(self, model: nn.Module, images: Images, target: Target = Predicted()) -> Explanation:  # noqa: B008
        """Explain a batch of normalised images."""
        blocks = find_blocks(model, images, changing=True)
        check_setting("start_layer", self.start_layer, range(len(blocks)))
        means: list[Tensor] = []
        ends: list[Tensor] = []

        def keep(tokens: Tensor) -> Tensor:
            means.append(tokens.mean(1))
            ends.append(means[-1].detach().requires_grad_())
            return tokens

        def all_ends(tokens: Tensor) -> Tensor:
            keep(tokens)
            return torch.cat([tokens, *(end[:, None].expand_as(tokens) for end in ends)])

        with ExitStack() as stack:
            for name in blocks[self.start_layer : -1]:
                stack.enter_context(change_output(model, name, keep))
            stack.enter_context(change_output(model, blocks[-1], all_ends))
            trace = _observe_longer(model, images)
        trace = replace(trace, images=len(images) * (1 + len(ends)))
        if len(everything(trace.output)) != trace.images:
            raise _fixed_batch(trace.model)
        attentions = trace.global_attentions[self.start_layer :]
        logits = trace.logits[: len(images)].detach()
        direction = target(logits)
        of_ends = torch.cat([torch.zeros_like(direction), direction.repeat(len(ends), 1)])
        of_images = torch.cat([direction, torch.zeros_like(direction).repeat(len(ends), 1)])
        if any(grad.any() for grad in gradients(trace.logits, of_images, ends, trace.model)):
            raise _fixed_batch(trace.model)
        heads = [attention for attention in trace.attentions if attention.tokens is None]
        if heads and any(gradient.any() for gradient in trace.gradients(of_ends, heads)):
            raise NoGlobalAttention(
                f"the head of `{trace.model}` pools the tokens by attention, where `legrad` is defined otherwise. "
                'Use `attcat` or `generic_attention` with readout="mean".'
            )
        grads = gradients(trace.logits, of_ends, ends, trace.model)
        heat = torch.zeros_like(attentions[0].weights[:, 0, 0])
        for mean, grad, attention in zip(means, grads, attentions, strict=True):
            (gradient,) = gradients(mean, grad, [attention.weights], trace.model)
            heat = heat + gradient.relu().mean((1, 2))
        heatmap = trace.tokens.heatmap(heat)
        return Explanation(heatmap, logits, direction.argmax(1), self)


def _observe_longer(model: nn.Module, images: Images) -> Trace:
    """`observe` where the batch grows on the way; the model has run before, so what fails is that."""
    try:
        return observe(model, images)
    except ModelFailed:
        raise _fixed_batch(type(model).__name__) from None


def _fixed_batch(kind: str) -> ObservationError:
    return ObservationError(
        f"`{kind}` remembers how many images came in, reorders them, or joins them with another encoder's, but "
        "`legrad` puts the ends of all layers through its head as one larger batch. Use `attcat`, or "
        '`generic_attention` with readout="mean".'
    )
