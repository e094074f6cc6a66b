"""AttnLRP (Achtibat et al., ICML 2024)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from vitreous.methods.explanation import Explanation
from vitreous.methods.input_x_gradient import input_x_gradient
from vitreous.methods.method import Family
from vitreous.methods.requirements import check_at_least
from vitreous.relevance.composites import ATTN_LRP, with_gamma
from vitreous.relevance.propagate import propagate
from vitreous.shapes import Images
from vitreous.trace.pixels import pixel_response
from vitreous.trace.target import Predicted, Target

__all__ = ["AttnLRP"]


@dataclass(frozen=True)
class AttnLRP:
    """Layer-wise relevance that also flows through attention weights: ½ to values, ¼ each to queries and keys.

    Relevance is input × gradient with norms as (x − mean)·sg(1/σ), activations as x·sg(f(x)/x), half to each side of
    every product of two activations, and softmax as it is; heat sums it over channels and each patch's pixels. Linear
    layers and convolutions have the ε rule with ε → 0, or the γ rule: contributions of the sign of a result's own
    value count 1 + γ times, and are divided by their sum.

    Σ heat + what biases, position embeddings and the curvature of softmax contribute = y. The γ rule keeps that sum
    where there are no biases.

    Attributes:
        conv_gamma: γ of convolutions, 0 for the ε rule. The authors search over 0.1, 0.25 and 100 for ViTs.
        linear_gamma: γ of linear layers, those of attention as well. The authors search over 0, 0.01, 0.05, 0.1 and 1.

    Needs operations with rules: transformers of timm, torchvision, Hugging Face and others that call torch plainly.
    Cost: one forward pass with attention written out, and one backward pass; with γ, linear layers cost four times
    as much backward.

    Raises:
        ShapeError: a γ is negative.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "attn_lrp").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "AttnLRP"
    source: ClassVar[str] = "Achtibat et al., AttnLRP: Attention-Aware Layer-Wise Relevance Propagation, ICML 2024"
    family: ClassVar[Family] = "relevance"
    signed: ClassVar[Literal[True]] = True

    conv_gamma: float = 0.0
    linear_gamma: float = 0.0

    def __post_init__(self) -> None:
        check_at_least("conv_gamma", self.conv_gamma, 0)
        check_at_least("linear_gamma", self.linear_gamma, 0)

    def __call__(self, model: nn.Module, images: Images, target: Target = Predicted()) -> Explanation:  # noqa: B008
        """Explain a batch of normalised images."""
        with propagate(model, with_gamma(ATTN_LRP, self.conv_gamma, self.linear_gamma)):
            response = pixel_response(model, images)
        return input_x_gradient(self, response, target)
