"""Class activation mapping (Zhou et al., CVPR 2016)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import nn

from vitreous.errors import ObservationError
from vitreous.methods.explanation import Explanation
from vitreous.methods.feature_maps import weighted_sum
from vitreous.methods.method import Family
from vitreous.shapes import Images, Logits
from vitreous.trace.layer import find_layer
from vitreous.trace.layer_output import LayerOutput, read_layer, run_with
from vitreous.trace.target import Predicted, Target

__all__ = ["CAM"]


@dataclass(frozen=True)
class CAM:
    """The last feature maps, weighted as the linear head weighs their means: each position's share of the score.

    heat = Σ_k w_k · A_k, where y = Σ_k w_k · mean(A_k) + b, so the mean of the map is the class score without its bias.

    The head is measured, not looked up: y must have one gradient at all positions, and turning the maps around must
    turn y around.

    Attributes:
        layer: dotted name of the layer; by default the last whose patches the class scores depend on.

    Needs a head that is average pooling and one linear map: most CNNs and Swins; for others use `grad_cam`.
    Cost: two forward passes, one more of the first image to find the layer, and the backward pass of the head.

    >>> import timm, torch, vitreous
    >>> cnn = timm.create_model("resnet18", num_classes=10)
    >>> vitreous.explain(cnn, torch.randn(1, 3, 64, 64), "cam").heatmap.shape
    torch.Size([1, 2, 2])
    """

    title: ClassVar[str] = "CAM"
    source: ClassVar[str] = "Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016"
    family: ClassVar[Family] = "pooling"
    signed: ClassVar[Literal[True]] = True

    layer: str = ""

    def __call__(self, model: nn.Module, images: Images, target: Target = Predicted()) -> Explanation:  # noqa: B008
        """Explain a batch of normalised images."""
        seen = read_layer(model, images, find_layer(model, images, self.layer))
        logits = seen.logits.detach()
        direction = target(logits)
        gradients = seen.gradients(direction)
        _check_head(model, images, seen, direction)
        heatmap = weighted_sum(seen.maps, gradients.sum((2, 3)))
        return Explanation(heatmap, logits, direction.argmax(1), self, layer=seen.layer.name)


def _check_head(model: nn.Module, images: Images, seen: LayerOutput, direction: Logits) -> None:
    """Refuse a head that is not average pooling and one linear map.

    Raises:
        ObservationError: positions weigh differently, or turning the layer's output around does not turn the scores.
    """
    maps, grads, logits = seen.maps, seen.gradients(direction), seen.logits.detach()
    tolerance = torch.finfo(logits.dtype).eps ** 0.5
    spread = grads.amax((2, 3)) - grads.amin((2, 3))
    turned = ((logits - run_with(model, images, seen.layer, torch.neg)) * direction).sum(1) / 2
    missed = turned - (maps * grads).sum((1, 2, 3))
    if spread.amax() > tolerance * grads.abs().amax() or missed.abs().amax() > tolerance * logits.abs().amax():
        raise ObservationError(
            f"`cam` needs a head that is average pooling and one linear map, but the class scores of `{seen.model}` "
            f"are no linear map of the mean of `{seen.layer.name}` over its patches. Use `grad_cam`."
        )
