"""Baseline: noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Int
from torch import Tensor

from vitreous.methods.baseline import Baseline
from vitreous.methods.method import Family
from vitreous.settings.typed import Cells, Seed
from vitreous.shapes import Heatmap, Images

__all__ = ["Random", "fingerprints", "noise"]


@dataclass(frozen=True)
class Random(Baseline):
    """Noise: each picture's own uniform random map, which knows nothing of the model or the class.

    heat = U(0, 1), drawn for each picture from the seed and its pixels, so it is the same in every batch.

    Attributes:
        seed: other seeds give other maps.
        grid: rows and columns of the map; None takes the model's patches, or 14×14 where it has none.

    Needs nothing.
    Cost: one forward pass (for the class scores).

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "random").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "Random"
    source: ClassVar[str] = "baseline: a method has to beat chance"
    family: ClassVar[Family] = "pixels"
    scoreless: ClassVar[Literal[True]] = True

    seed: Seed = 0
    grid: Cells | None = None

    def heat(self, images: Images, size: tuple[int, int]) -> Heatmap:
        """The map of these rows and columns."""
        heatmap = torch.stack([noise(size, self.seed, each) for each in fingerprints(images).tolist()])
        return heatmap.to(images)


def noise(size: tuple[int, int], seed: int, picture: int) -> Tensor:
    """(h, w) uniform numbers that depend on both integers."""
    mixed = (seed * 0x9E3779B97F4A7C15 + picture) % 2**63
    return torch.rand(size, generator=torch.Generator().manual_seed(mixed))


def fingerprints(images: Images) -> Int[Tensor, " batch"]:
    """An integer per picture, from its pixels in bfloat16: the same in that, in float32 and in float64."""
    bits = images.detach().to(torch.bfloat16).flatten(1).contiguous().view(torch.int16).long()
    place = torch.arange(1, bits.shape[1] + 1, device=bits.device)
    return (bits * place * (place % 65521)).sum(1)
