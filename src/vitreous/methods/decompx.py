"""DecompX (Modarressi et al., ACL 2023), as input × gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from vitreous.methods.explanation import Explanation
from vitreous.methods.input_x_gradient import input_x_gradient
from vitreous.methods.method import Family
from vitreous.relevance.composites import DECOMPX
from vitreous.relevance.propagate import propagate
from vitreous.shapes import Images
from vitreous.trace.pixels import pixel_response
from vitreous.trace.target import Predicted, Target

__all__ = ["DecompX"]


@dataclass(frozen=True)
class DecompX:
    """`cp_lrp` with each activation as a factor: f(x) = x · sg(f(x)/x).

    heat = Σ x · ∂'y/∂'x over channels and each patch's pixels. The paper carries a vector per pair of tokens through
    the layers and sums its products with the classifier at the end; by linearity that is this backward pass. Biases
    stay where they arise, as in the paper's variant without them.

    Σ heat = y in a model without biases, position embeddings and gated MLPs (products of two activations count twice;
    `libra_grad` halves them). In others, the missing part is what the biases contribute.

    Needs operations with rules: transformers of timm, torchvision, Hugging Face and others that call torch plainly.
    Cost: one forward pass with attention written out, and one backward pass.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "decompx").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "DecompX"
    source: ClassVar[str] = (
        "Modarressi et al., DecompX: Explaining Transformers Decisions by Token Decomposition, ACL 2023"
    )
    family: ClassVar[Family] = "relevance"
    signed: ClassVar[Literal[True]] = True

    def __call__(self, model: nn.Module, images: Images, target: Target = Predicted()) -> Explanation:  # noqa: B008
        """Explain a batch of normalised images."""
        with propagate(model, DECOMPX):
            response = pixel_response(model, images)
        return input_x_gradient(self, response, target)
