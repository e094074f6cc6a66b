"""Class scores as a function of the pixels: `pixel_response(model, images)`."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from vitreous.shapes import Images, Logits
from vitreous.trace.gradient import gradients
from vitreous.trace.recorder import record

__all__ = ["PixelResponse", "pixel_response"]


@dataclass(frozen=True)
class PixelResponse:
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


def pixel_response(model: nn.Module, images: Images) -> PixelResponse:
    """Run the model once, with its own fused attention, so that its class scores can be differentiated in the pixels.

    The model is unchanged during and after the call, also after an exception. It need not have attention.

    Raises:
        ShapeError: `images` is not finite or not floating point.
        ModelError: the model gives no class scores.

    >>> import torch
    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    >>> response = pixel_response(model, torch.ones(1, 1, 2, 2))
    >>> torch.equal(response.gradient(torch.tensor([[0.0, 1.0]])).flatten(), model[1].weight[1])
    True
    """
    seen = record(model, images.detach(), inputs=[""], gradients=True)
    return PixelResponse(seen.model, seen.inputs[""], seen.logits, seen.grid)
