"""What was tried for a method of our own: sums of standardized maps, averaged over views of the picture or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitreous.methods import make_method
from vitreous.methods.method import Explanation
from vitreous.metrics.bands import ranks
from vitreous.metrics.judge import scaled
from vitreous.shapes import Images
from vitreous.trace.target import Classes, Predicted, Target

__all__ = ["Ranked", "Views"]

_PREDICTED = Predicted()


@dataclass(frozen=True)
class Views:
    """Σ over methods of their maps, each less its mean and over its standard deviation; the mean over views.

    Attributes:
        methods: whose maps.
        shift: in pixels, of the second view, right and down, the border repeated; 0 for one view. With two views each
            is also mirrored, so there are four. Their maps meet at picture size.
    """

    source: ClassVar[str] = "candidate"
    methods: Sequence[str] = ("ag_cam", "attn_lrp")
    shift: int = 0

    def __call__(self, model: nn.Module, images: Images, target: Target = _PREDICTED) -> Explanation:
        """Explain a batch of normalised images."""
        first = make_method(self.methods[0])(model, images, target)
        classes = Classes(tuple(first.target.tolist()))
        if not self.shift:
            heatmap = self._sum(model, images, classes)
        else:
            size = (images.shape[2], images.shape[3])
            maps: list[Tensor] = []
            for shift in (0, self.shift):
                moved = F.pad(images, (shift, 0, shift, 0), mode="replicate")[:, :, : size[0], : size[1]]
                plain, mirrored = (
                    self._sum(model, moved, classes),
                    self._sum(model, moved.flip(3), classes).flip(2),
                )
                wide = F.interpolate(
                    (plain + mirrored)[:, None],
                    size,
                    mode="bilinear",
                    align_corners=False,
                )
                maps.append(
                    F.pad(
                        wide[:, :, shift:, shift:],
                        (0, shift, 0, shift),
                        mode="replicate",
                    )[:, 0]
                )
            heatmap = torch.stack(maps).mean(0)
        return Explanation(heatmap, first.logits, first.target, self)

    def _sum(self, model: nn.Module, images: Images, target: Target) -> Tensor:
        return torch.stack(
            [standardized(make_method(name)(model, images, target).heatmap) for name in self.methods]
        ).sum(0)


@dataclass(frozen=True)
class Ranked:
    """A method's map at picture size, each value replaced by its rank. The order of pixels, and so ABPC, stays."""

    source: ClassVar[str] = "candidate"
    method: str = "ag_cam"

    def __call__(self, model: nn.Module, images: Images, target: Target = _PREDICTED) -> Explanation:
        """Explain a batch of normalised images."""
        made = make_method(self.method)(model, images, target)
        wide = scaled(made.heatmap, (images.shape[2], images.shape[3]))
        return Explanation(-ranks(wide).to(wide), made.logits, made.target, self)


def standardized(heatmap: Tensor) -> Tensor:
    """Mean 0 and standard deviation 1 over each map."""
    centered = heatmap - heatmap.mean((1, 2), keepdim=True)
    return centered / centered.pow(2).mean((1, 2), keepdim=True).sqrt()
