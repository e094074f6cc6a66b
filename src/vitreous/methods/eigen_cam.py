"""Eigen-CAM (Muhammad & Yeasin, IJCNN 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from vitreous.masking.ties import first_of_largest
from vitreous.methods.explanation import Explanation
from vitreous.methods.feature_maps import FromLayer
from vitreous.methods.method import Family
from vitreous.shapes import FeatureMaps, Heatmap
from vitreous.trace.layer_output import LayerOutput
from vitreous.trace.target import Target

__all__ = ["EigenCAM", "eigen_cam"]


@dataclass(frozen=True)
class EigenCAM(FromLayer):
    """A layer's output projected on its first principal component; the same for every class.

    heat = A · v₁, where A (positions × channels) = U Σ Vᵀ. A singular vector has no sign of its own: here the largest
    value of the map is positive.

    Attributes:
        center: subtract each channel's mean before, as pytorch-grad-cam does and the paper does not.
        layer: dotted name of the layer; by default the last whose patches the class scores depend on.

    Needs a layer whose output lies on the picture: any CNN, Swin or ViT.
    Cost: one forward pass, and one more of the first image to find the layer.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "eigen_cam").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "Eigen-CAM"
    source: ClassVar[str] = "Muhammad & Yeasin, Eigen-CAM: Class Activation Map using Principal Components, IJCNN 2020"
    family: ClassVar[Family] = "layer"
    scoreless: ClassVar[Literal[True]] = True

    center: bool = False
    layer: str = ""

    def of(self, seen: LayerOutput, target: Target) -> Explanation:
        """Explain what the layer gave."""
        logits = seen.logits.detach()
        heatmap = eigen_cam(seen.maps, center=self.center)
        return Explanation(heatmap, logits, target(logits).argmax(1), self, layer=seen.layer.name)


def eigen_cam(maps: FeatureMaps, *, center: bool = False) -> Heatmap:
    """The projection on the first right singular vector."""
    rows = maps.flatten(2).mT
    if center:
        rows = rows - rows.mean(1, keepdim=True)
    # no singular values in half precision, and none of NaN: it only has to come through to the map
    exact = rows.to(torch.promote_types(rows.dtype, torch.float32))
    finite = exact.where(exact.isfinite(), 0)
    projected = (exact @ torch.linalg.svd(finite, full_matrices=False).Vh[:, :1].mT)[..., 0]
    largest = projected.gather(1, first_of_largest(projected.abs())[:, None])
    return (projected * largest.sign()).to(maps).unflatten(1, maps.shape[2:])
