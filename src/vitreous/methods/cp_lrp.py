"""Conservative propagation (Ali et al., ICML 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from vitreous.methods.explanation import Explanation
from vitreous.methods.input_x_gradient import input_x_gradient
from vitreous.methods.method import Family
from vitreous.relevance.composites import CP_LRP
from vitreous.relevance.propagate import propagate
from vitreous.shapes import Images
from vitreous.trace.pixels import pixel_response
from vitreous.trace.target import Predicted, Target

__all__ = ["CPLRP"]


@dataclass(frozen=True)
class CPLRP:
    """Input × gradient with attention weights and the variance of norms held constant.

    heat = Σ x · ∂'y/∂'x over channels and each patch's pixels, where ∂' is the gradient with sg(softmax(…)), which is
    sg(q) and sg(k), and x̂ = (x − mean)·sg(1/σ). Activations keep their own gradient, so Σ heat = y only where they
    are piecewise linear (ReLU) and the model has no biases and position embeddings; gated MLPs count twice.

    Needs operations with rules: transformers of timm, torchvision, Hugging Face and others that call torch plainly.
    Cost: one forward pass with attention written out, and one backward pass.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "cp_lrp").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "CP-LRP"
    source: ClassVar[str] = (
        "Ali et al., XAI for Transformers: Better Explanations through Conservative Propagation, 2022"
    )
    family: ClassVar[Family] = "relevance"
    signed: ClassVar[Literal[True]] = True

    def __call__(self, model: nn.Module, images: Images, target: Target = Predicted()) -> Explanation:  # noqa: B008
        """Explain a batch of normalised images."""
        with propagate(model, CP_LRP):
            response = pixel_response(model, images)
        return input_x_gradient(self, response, target)
