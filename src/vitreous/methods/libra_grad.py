"""LibraGrad (Mehri et al., CVPR 2025)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from vitreous.methods.explanation import Explanation
from vitreous.methods.input_x_gradient import input_x_gradient
from vitreous.methods.method import Family
from vitreous.relevance.composites import LIBRA_GRAD
from vitreous.relevance.propagate import propagate
from vitreous.shapes import Images
from vitreous.trace.pixels import pixel_response
from vitreous.trace.target import Predicted, Target

__all__ = ["LibraGrad"]


@dataclass(frozen=True)
class LibraGrad:
    """Input × gradient with the backward pass balanced, so that contributions add up to the class score.

    heat = Σ x · ∂'y/∂'x over channels and each patch's pixels, where ∂' is the gradient with sg(q), sg(k), norms as
    (x − mean)·sg(1/σ), activations as x·sg(f(x)/x), and half to each side of a gated MLP's product.

    Σ heat = y in a model without biases and position embeddings; in others Σ heat + what these contribute = y.

    The authors take input × gradient at the first block's input, where the position embedding and the patch
    convolution's bias count as input; here it is taken at the pixels. They explain the probability; here `target`
    decides, a class score by default.

    Needs operations with rules: transformers of timm, torchvision, Hugging Face and others that call torch plainly.
    Cost: one forward pass with attention written out, and one backward pass.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "libra_grad").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "LibraGrad"
    source: ClassVar[str] = "Mehri et al., LibraGrad: Balancing Gradient Flow, CVPR 2025"
    family: ClassVar[Family] = "relevance"
    signed: ClassVar[Literal[True]] = True

    def __call__(self, model: nn.Module, images: Images, target: Target = Predicted()) -> Explanation:  # noqa: B008
        """Explain a batch of normalised images."""
        with propagate(model, LIBRA_GRAD):
            response = pixel_response(model, images)
        return input_x_gradient(self, response, target)
