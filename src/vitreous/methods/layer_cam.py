"""LayerCAM (Jiang et al., TIP 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from vitreous.methods.feature_maps import FromMapsAndGradients
from vitreous.methods.method import Family
from vitreous.shapes import FeatureMaps, Heatmap

__all__ = ["LayerCAM", "layer_cam"]


@dataclass(frozen=True)
class LayerCAM(FromMapsAndGradients):
    """A layer's maps times their positive gradients, position by position: also for layers far from the scores.

    heat = ReLU(Σ_k ReLU(∂y/∂A_k) ⊙ A_k).

    Attributes:
        layer: dotted name of the layer; by default the last whose patches the class scores depend on.

    Needs a layer whose output lies on the picture: any CNN, Swin or ViT.
    Cost: one forward pass, one more of the first image to find the layer, and the backward pass from scores to layer.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "layer_cam").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "LayerCAM"
    source: ClassVar[str] = "Jiang et al., LayerCAM: Exploring Hierarchical Class Activation Maps, IEEE TIP 2021"
    family: ClassVar[Family] = "layer"

    layer: str = ""

    def heat(self, maps: FeatureMaps, gradients: FeatureMaps) -> Heatmap:
        """The equation."""
        return layer_cam(maps, gradients)


def layer_cam(maps: FeatureMaps, gradients: FeatureMaps) -> Heatmap:
    """The positive part of maps times positive gradients."""
    return (gradients.relu() * maps).sum(1).relu()
