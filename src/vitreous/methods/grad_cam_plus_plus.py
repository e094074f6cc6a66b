"""Grad-CAM++ (Chattopadhay et al., WACV 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from vitreous.methods.feature_maps import FromMapsAndGradients, weighted_sum
from vitreous.methods.method import Family
from vitreous.shapes import FeatureMaps, Heatmap

__all__ = ["GradCAMPlusPlus", "grad_cam_plus_plus"]


@dataclass(frozen=True)
class GradCAMPlusPlus(FromMapsAndGradients):
    """A layer's maps, each weighted by its positive gradients, which count more where several objects share a class.

    heat = ReLU(Σ_k w_k · A_k), w_k = Σ_ij α_ij · ReLU(g_ij), α_ij = g_ij² / (2·g_ij² + Σ_ab A_ab · g_ij³), where g are
    the gradients of y; α is 0 where its denominator is. The paper's class score is exp(y), which multiplies the map of
    an image by one positive number; it is left out, as it overflows.

    Attributes:
        normalize: divide each map's α by their sum where the gradient is positive, as the authors' code does and the
            paper does not.
        layer: dotted name of the layer; by default the last whose patches the class scores depend on.

    Needs a layer whose output lies on the picture: any CNN, Swin or ViT. The equation was derived for maps after a
    ReLU; where sums of a map are negative, denominators near zero make it unstable.
    Cost: one forward pass, one more of the first image to find the layer, and the backward pass from scores to layer.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "grad_cam_plus_plus").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "Grad-CAM++"
    source: ClassVar[str] = "Chattopadhay et al., Grad-CAM++, WACV 2018"
    family: ClassVar[Family] = "layer"

    normalize: bool = False
    layer: str = ""

    def heat(self, maps: FeatureMaps, gradients: FeatureMaps) -> Heatmap:
        """The equation."""
        return grad_cam_plus_plus(maps, gradients, normalize=self.normalize)


def grad_cam_plus_plus(maps: FeatureMaps, gradients: FeatureMaps, *, normalize: bool = False) -> Heatmap:
    """Their eq. 19, with the closed form of α for a class score exp(y)."""
    # g² taken out of the fraction: squares and cubes of small gradients would vanish
    below = 2 + maps.sum((2, 3), keepdim=True) * gradients
    alpha = torch.where((below == 0) | (gradients == 0), 0, 1 / below)
    positive = gradients.relu()
    if normalize:
        total = torch.where(positive > 0, alpha, 0).sum((2, 3), keepdim=True)
        alpha = alpha / torch.where(total == 0, 1, total)
    return weighted_sum(maps, (alpha * positive).sum((2, 3))).relu()
