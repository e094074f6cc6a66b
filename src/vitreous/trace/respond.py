"""Class scores as a function of the pixels: `respond(model, images)`."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from vitreous.shapes import Images, Logits
from vitreous.trace.gradient import gradients
from vitreous.trace.recorder import record

__all__ = ["Response", "respond"]


@dataclass(frozen=True)
class Response:
    """One forward pass, differentiable in its pixels.

    Attributes:
        model: class name of the model, for messages.
        pixels: the input.
        logits: the class scores, on the autograd graph.
        grid: (height, width) of the patch convolution's output; None where there was none, or no attention.
    """

    model: str
    pixels: Images
    logits: Logits
    grid: tuple[int, int] | None

    def gradient(self, direction: Logits) -> Images:
        """∂⟨direction, logits⟩/∂pixels, or its like where `propagate` changed the backward rules.

        Raises:
            ObservationError: the model recomputes its activations (gradient checkpointing).
        """
        return gradients(self.logits, direction, [self.pixels], self.model, reached=True)[0]


def respond(model: nn.Module, images: Images) -> Response:
    """Run the model once, with its own fused attention, so that its class scores can be differentiated in the pixels.

    The model is unchanged during and after the call, also after an exception. It need not have attention.

    Raises:
        ShapeError: `images` is not finite or not floating point.
        ModelError: the model gives no class scores.

    >>> import torch
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    >>> response = respond(model, torch.ones(1, 1, 2, 2))
    >>> torch.equal(response.gradient(torch.tensor([[0.0, 1.0]])).flatten(), model[1].weight[1])
    True
    """
    seen = record(model, images.detach(), inputs=[""], gradients=True)
    return Response(seen.model, seen.inputs[""], seen.logits, seen.grid)
