"""Input × gradient (Shrikumar et al., 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import nn

from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Family, Method
from vitreous.shapes import Heatmap, Images
from vitreous.trace.pixels import PixelResponse, pixel_response
from vitreous.trace.target import Predicted, Target

__all__ = ["InputXGradient", "input_x_gradient", "lay_out"]


@dataclass(frozen=True)
class InputXGradient:
    """Each pixel times its gradient, summed over channels and over the pixels of each patch.

    heat = Σ x · ∂y/∂x, x normalized. Σ heat = y where the model is linear in its pixels and has no biases; what is
    missing is what biases, position embeddings and curvature contribute. `libra_grad` and its kin mend the curvature.

    On the patch grid where there is a patch convolution that tiles the picture, else one value per pixel.
    Needs nothing of the model.
    Cost: one forward and one backward pass, attention fused.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "input_x_gradient").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "Input x gradient"
    source: ClassVar[str] = "Shrikumar et al., Not Just a Black Box, 2016"
    family: ClassVar[Family] = "pixels"
    signed: ClassVar[Literal[True]] = True

    def __call__(self, model: nn.Module, images: Images, target: Target = Predicted()) -> Explanation:  # noqa: B008
        """Explain a batch of normalised images."""
        return input_x_gradient(self, pixel_response(model, images), target)


def input_x_gradient(method: Method, response: PixelResponse, target: Target) -> Explanation:
    """Input times gradient of what is explained, by whatever rules the response was recorded under."""
    logits, pixels = response.logits.detach(), response.pixels.detach()
    direction = target(logits)
    heatmap = lay_out(pixels * response.gradient(direction), response.grid)
    return Explanation(heatmap, logits, direction.argmax(1), method)


def lay_out(relevance: Images, grid: tuple[int, int] | None) -> Heatmap:
    """Sums over channels and over each patch's pixels; over channels alone where no grid tiles the picture.

    >>> import torch
    >>> lay_out(torch.ones(1, 3, 4, 4), (2, 2))
    tensor([[[12., 12.],
             [12., 12.]]])
    """
    heatmap = relevance.sum(1)
    size = tuple(heatmap.shape[1:])
    if grid is None or size[0] % grid[0] or size[1] % grid[1]:
        return heatmap
    patch = (size[0] // grid[0], size[1] // grid[1])
    return F.avg_pool2d(heatmap, patch, divisor_override=1)
