"""Integrated gradients (Sundararajan et al., ICML 2017)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

import torch
from torch import nn

from vitreous.errors import check_setting
from vitreous.masking.fill import make_fill
from vitreous.methods.explanation import Explanation
from vitreous.methods.input_x_gradient import lay_out
from vitreous.methods.method import Family
from vitreous.methods.requirements import check_at_least
from vitreous.settings.typed import Passes
from vitreous.shapes import Images
from vitreous.trace.pixels import pixel_response
from vitreous.trace.target import Predicted, Target

__all__ = ["IntegratedGradients", "Quadrature"]

Quadrature = Literal["right", "midpoint"]
"""Where in each step the gradient is taken: at its end, or in its middle."""


@dataclass(frozen=True)
class IntegratedGradients:
    """The difference to a baseline image times the mean gradient on the straight way from it.

    heat = Σ (x − x₀) · 1/m Σ_k ∂y/∂x at x₀ + α_k (x − x₀), over channels and each patch's pixels; α_k = k/m by the
    paper's sum. Σ heat = y(x) − y(x₀) but for the sum's error, which shrinks as 1/steps, or 1/steps² at midpoints.

    Attributes:
        steps: m; the paper takes 20 to 300.
        quadrature: "right", the paper's k/m, or "midpoint", (k − ½)/m.
        baseline: x₀: "black" as in the paper, "gray", "white", "mean", or "blur".
        mean: of the pixels' normalization; `vitreous.explain` knows it from the model.
        std: likewise.

    On the patch grid where there is a patch convolution that tiles the picture, else one value per pixel.
    Needs nothing of the model.
    Cost: steps + 1 forward and steps backward passes, attention fused.

    Raises:
        UnknownName: there is no such quadrature or baseline.
        ShapeError: there are no steps, or the baseline is a pixel value and `mean` and `std` are unknown.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "integrated_gradients", steps=8).heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "Integrated gradients"
    source: ClassVar[str] = "Sundararajan et al., Axiomatic Attribution for Deep Networks, ICML 2017"
    family: ClassVar[Family] = "pixels"
    signed: ClassVar[Literal[True]] = True

    steps: Passes = 50
    quadrature: Quadrature = "right"
    baseline: str = "black"
    mean: Sequence[float] = field(default=(), repr=False)
    std: Sequence[float] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        check_at_least("steps", self.steps, 1)
        check_setting("quadrature", self.quadrature, get_args(Quadrature))

    def __call__(self, model: nn.Module, images: Images, target: Target = Predicted()) -> Explanation:  # noqa: B008
        """Explain a batch of normalised images."""
        response = pixel_response(model, images)
        logits, end = response.logits.detach(), response.pixels.detach()
        direction = target(logits)
        start = make_fill(self.baseline, self.mean, self.std)(end)
        shift = 0.5 if self.quadrature == "midpoint" else 0.0
        total = torch.zeros_like(end)
        for k in range(1, self.steps + 1):
            total += pixel_response(model, start.lerp(end, (k - shift) / self.steps)).gradient(direction)
        heatmap = lay_out((end - start) * total / self.steps, response.grid)
        return Explanation(heatmap, logits, direction.argmax(1), self)
