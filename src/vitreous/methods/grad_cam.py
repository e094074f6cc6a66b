"""Grad-CAM (Selvaraju et al., ICCV 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vitreous.methods.feature_maps import FromMapsAndGradients, weighted_sum
from vitreous.methods.method import Family
from vitreous.shapes import FeatureMaps, Heatmap

__all__ = ["GradCAM", "grad_cam"]


@dataclass(frozen=True)
class GradCAM(FromMapsAndGradients):
    """A layer's maps, each weighted by its mean gradient.

    heat = ReLU(Σ_k w_k · A_k), w_k = mean over positions of ∂y/∂A_k.

    Attributes:
        layer: dotted name of the layer; by default the last whose patches the class scores depend on.

    Needs a layer whose output lies on the picture: any CNN, Swin or ViT.
    Cost: one forward pass, one more of the first image to find the layer, and the backward pass from scores to layer.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "grad_cam", layer="blocks.3").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "Grad-CAM"
    source: ClassVar[str] = "Selvaraju et al., Grad-CAM, ICCV 2017"
    family: ClassVar[Family] = "layer"

    layer: str = ""

    def heat(self, maps: FeatureMaps, gradients: FeatureMaps) -> Heatmap:
        """The equation."""
        return grad_cam(maps, gradients)


def grad_cam(maps: FeatureMaps, gradients: FeatureMaps) -> Heatmap:
    """The positive part of the maps weighted by their mean gradients."""
    return weighted_sum(maps, gradients.mean((2, 3))).relu()
