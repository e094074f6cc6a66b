"""Ablation-CAM (Desai & Ramaswamy, WACV 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.masking.forward import Progress
from vitreous.masking.moves import moving_values
from vitreous.methods.explanation import Explanation
from vitreous.methods.feature_maps import weighted_sum
from vitreous.methods.method import Family
from vitreous.methods.requirements import check_at_least
from vitreous.shapes import Images, Logits
from vitreous.trace.layer import find_layer
from vitreous.trace.layer_output import read_layer, run_with
from vitreous.trace.layout import Layer
from vitreous.trace.target import Predicted, Target

__all__ = ["AblationCAM"]


@dataclass(frozen=True)
class AblationCAM:
    """A layer's maps, each weighted by how far the class score drops without it; without gradients.

    heat = ReLU(Σ_k w_k · A_k), w_k = (y − y_k) / |y|, where y_k is the class score with A_k set to zero on all patches.
    The paper divides by y, which turns the map around where y is negative. pytorch-grad-cam puts values far below the
    smallest in place of zero where a layer has negative values, and in a ViT also in place of the class token's.

    Attributes:
        layer: dotted name of the layer; by default the last whose patches the class scores depend on.
        batch_size: images with one map less per forward pass; bounds memory, changes nothing else.

    Needs a layer whose output lies on the picture: any CNN, Swin or ViT.
    Cost: as many forward passes as the layer has channels, and two more.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "ablation_cam").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "Ablation-CAM"
    source: ClassVar[str] = "Desai & Ramaswamy, Ablation-CAM, WACV 2020"
    family: ClassVar[Family] = "layer"
    slow: ClassVar[Literal[True]] = True

    layer: str = ""
    batch_size: int = 64

    def __call__(
        self,
        model: nn.Module,
        images: Images,
        target: Target = Predicted(),  # noqa: B008
        *,
        progress: Progress | None = None,
    ) -> Explanation:
        """Explain a batch of normalised images."""
        check_at_least("batch_size", self.batch_size, 1)
        seen = read_layer(model, images, find_layer(model, images, self.layer))
        maps, logits = seen.maps, seen.logits.detach()
        direction = target(logits)
        ablated = _without_each(model, images, seen.layer, maps.shape[1], batch_size=self.batch_size, progress=progress)
        values = moving_values(torch.cat([logits[:, None], ablated], 1), direction, "logit", "AblationCAM")
        score = values[:, :1]
        dropped = (score - values[:, 1:]) / score.abs().where(score != 0, 1)  # one factor for the whole map
        heatmap = weighted_sum(maps, dropped.to(maps)).relu()
        return Explanation(heatmap, logits, direction.argmax(1), self, layer=seen.layer.name)


def _without_each(
    model: nn.Module, images: Images, layer: Layer, channels: int, *, batch_size: int, progress: Progress | None
) -> Float[Tensor, "batch maps classes"]:
    """The class scores of every image without each of the layer's maps."""
    total = len(images) * channels
    found: list[Logits] = []
    for start in range(0, total, batch_size):
        each = torch.arange(start, min(start + batch_size, total), device=images.device)

        def ablate(output: Tensor, channel: Tensor = each % channels) -> Tensor:
            maps = layer.maps(output).clone()
            maps[torch.arange(len(channel), device=channel.device), channel] = 0
            return layer.with_maps(output, maps)

        found.append(run_with(model, images[each // channels], layer, ablate))
        if progress:
            progress(start + len(each), total)
    return torch.cat(found).unflatten(0, (len(images), channels))
