"""What the CAM family shares: maps of a layer, weighted and added up."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from vitreous.methods.explanation import Explanation
from vitreous.methods.shared import FromObservation
from vitreous.shapes import FeatureMaps, Heatmap, Images
from vitreous.trace.layer import find_layer
from vitreous.trace.layer_output import LayerOutput, read_layer
from vitreous.trace.target import Target

__all__ = ["FromLayer", "FromMapsAndGradients", "ReadLayer", "weighted_sum"]


@dataclass(frozen=True)
class ReadLayer:
    """What a layer gives: one forward pass, and one of the first image to find it.

    Attributes:
        name: dotted name of the layer; "" for the one that `find_layer` finds.
    """

    name: str

    def __call__(self, model: nn.Module, images: Images) -> LayerOutput:
        """Its output, and the class scores that follow."""
        return read_layer(model, images, find_layer(model, images, self.name))


class FromLayer(FromObservation[LayerOutput]):
    """A method that reads a layer's output."""

    layer: str

    @property
    def observation(self) -> ReadLayer:
        """The layer that is set, or the one that is found."""
        return ReadLayer(self.layer)


class FromMapsAndGradients(FromLayer):
    """One that makes its map of the layer's maps and their gradients."""

    @abstractmethod
    def heat(self, maps: FeatureMaps, gradients: FeatureMaps) -> Heatmap:
        """The equation."""

    def of(self, seen: LayerOutput, target: Target) -> Explanation:
        """Explain what the layer gave."""
        logits = seen.logits.detach()
        direction = target(logits)
        heatmap = self.heat(seen.maps, seen.gradients(direction))
        return Explanation(heatmap, logits, direction.argmax(1), self, layer=seen.layer.name)


def weighted_sum(maps: FeatureMaps, weights: Float[Tensor, "batch channels"]) -> Heatmap:
    """Σ_k w_k · A_k."""
    return (weights[..., None, None] * maps).sum(1)
