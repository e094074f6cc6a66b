"""HiResCAM (Draelos & Carin, 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from vitreous.methods.feature_maps import FromMapsAndGradients
from vitreous.methods.method import Family
from vitreous.shapes import FeatureMaps, Heatmap

__all__ = ["HiResCAM", "hires_cam"]


@dataclass(frozen=True)
class HiResCAM(FromMapsAndGradients):
    """A layer's maps times their gradients, position by position: what each position adds to the score.

    heat = Σ_k ∂y/∂A_k ⊙ A_k, with its sign. Where the scores are linear in the layer, it adds up to the class score
    without its bias.

    Attributes:
        layer: dotted name of the layer; by default the last whose patches the class scores depend on.

    Needs a layer whose output lies on the picture: any CNN, Swin or ViT.
    Cost: one forward pass, one more of the first image to find the layer, and the backward pass from scores to layer.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "hires_cam").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "HiResCAM"
    source: ClassVar[str] = "Draelos & Carin, Use HiResCAM instead of Grad-CAM for Faithful Explanations, 2020"
    family: ClassVar[Family] = "layer"
    signed: ClassVar[Literal[True]] = True

    layer: str = ""

    def heat(self, maps: FeatureMaps, gradients: FeatureMaps) -> Heatmap:
        """The equation."""
        return hires_cam(maps, gradients)


def hires_cam(maps: FeatureMaps, gradients: FeatureMaps) -> Heatmap:
    """Maps times gradients, added up over the channels."""
    return (gradients * maps).sum(1)
