"""Relevance-CAM (Lee et al., CVPR 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from vitreous.methods.explanation import Explanation
from vitreous.methods.feature_maps import weighted_sum
from vitreous.methods.method import Family
from vitreous.relevance.composites import RELEVANCE_CAM
from vitreous.relevance.propagate import propagate
from vitreous.shapes import Images, Logits
from vitreous.trace.layer import find_layer
from vitreous.trace.layer_output import read_layer
from vitreous.trace.target import Predicted, Target

__all__ = ["RelevanceCAM", "contrast"]


@dataclass(frozen=True)
class RelevanceCAM:
    """A layer's maps, each weighted by its mean relevance to one class against all others; also for early layers.

    heat = Σ_k w_k · A_k, with its sign, w_k = mean over positions of R_k. R starts from 1 at the class and −1 / classes
    at every other, as in the authors' code, and is propagated by the rules of `RELEVANCE_CAM`: products x·w ≥ 0 take
    part in linear layers and convolutions, sums share in proportion, norms and activations hand it on.

    Two things of the authors' code have no counterpart: biases of convolutions, which enter their denominators twice,
    and the norm's scale, which cancels. They treat CNNs; in transformers attention is by Chefer's rules.

    Attributes:
        layer: dotted name of the layer; by default the last whose patches the class scores depend on.

    Needs a layer whose output lies on the picture: any CNN, Swin or ViT. In transformers run it in float64 for numbers
    to rely on: divisions by sums near zero make single precision differ, and half precision is refused.
    Cost: two forward passes, one more of the first image to find the layer, and a relevance pass from scores to layer.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "relevance_cam").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "Relevance-CAM"
    source: ClassVar[str] = "Lee et al., Relevance-CAM: Your Model Already Knows Where to Look, CVPR 2021"
    family: ClassVar[Family] = "layer"
    signed: ClassVar[Literal[True]] = True

    layer: str = ""

    def __call__(self, model: nn.Module, images: Images, target: Target = Predicted()) -> Explanation:  # noqa: B008
        """Explain a batch of normalised images."""
        layer = find_layer(model, images, self.layer)
        with propagate(model, RELEVANCE_CAM):
            seen = read_layer(model, images, layer)
        logits = seen.logits.detach()
        direction = target(logits)
        relevance = seen.gradients(contrast(direction))
        heatmap = weighted_sum(seen.maps, relevance.mean((2, 3)))
        return Explanation(heatmap, logits, direction.argmax(1), self, layer=layer.name)


def contrast(direction: Logits) -> Logits:
    """The direction, and −1 / classes of its largest part at every class that is not in it.

    >>> contrast(torch.tensor([[0.0, 1.0, 0.0, 0.0]]))
    tensor([[-0.2500,  1.0000, -0.2500, -0.2500]])
    """
    return torch.where(direction == 0, -direction.abs().amax(1, keepdim=True) / direction.shape[1], direction)
