"""Baseline: where the picture has edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F

from vitreous.methods.baseline import Baseline
from vitreous.methods.method import Family
from vitreous.settings.typed import Cells
from vitreous.shapes import Heatmap, Images

__all__ = ["Edges", "sobel"]


@dataclass(frozen=True)
class Edges(Baseline):
    """How strong the picture's edges are; the same for every model and class.

    heat = mean over the cell of the gradient's length, by Sobel's operator on the mean of the normalised channels.
    Many saliency maps look right because they show edges (Adebayo et al., Sanity Checks for Saliency Maps, 2018).

    Attributes:
        grid: rows and columns of the map; None takes the model's patches, or 14×14 where it has none.

    Needs nothing.
    Cost: one forward pass (for the class scores).

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "edges").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "Edges"
    source: ClassVar[str] = "baseline: Sobel's operator; Adebayo et al., NeurIPS 2018"
    family: ClassVar[Family] = "pixels"
    scoreless: ClassVar[Literal[True]] = True

    grid: Cells | None = None

    def heat(self, images: Images, size: tuple[int, int]) -> Heatmap:
        """The map of these rows and columns."""
        return sobel(images, size)


def sobel(images: Images, size: tuple[int, int]) -> Heatmap:
    """The length of the gradient of the mean channel, averaged over the cells of a grid."""
    gray = F.pad(images.mean(1, keepdim=True), (1, 1, 1, 1), mode="replicate")
    across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]).to(images)
    slopes = F.conv2d(gray, torch.stack([across, across.T])[:, None])
    return F.adaptive_avg_pool2d(slopes.norm(dim=1), size)
