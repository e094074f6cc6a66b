"""What a SALG pyramid is stacked from: the stem, the steps between stages, and the two kinds of stage."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from timm.layers.weight_init import trunc_normal_
from timm.models._manipulate import checkpoint
from torch import nn

from vitreous.models.salg.block import GlobalBlock, LocalGlobalBlock, Propagation
from vitreous.models.salg.regions import FeatureMap, RegionMap, find_regions
from vitreous.shapes import Images

__all__ = ["ConvMerge", "GlobalStage", "LinearMerge", "Merge", "RegionStage", "Stem"]

Merge = Literal["conv", "linear"]
"""Between stages: two convolutions, which give the published parameter counts, or a linear map, as the text says."""


class Stem(nn.Sequential):
    """Three convolutions to a quarter of the size, channels last."""

    def __init__(self, channels: int, dim: int) -> None:
        layers: list[nn.Module] = []
        for inputs, stride in ((channels, 2), (dim, 2), (dim, 1)):
            layers += [nn.Conv2d(inputs, dim, 3, stride, 1, bias=False), nn.BatchNorm2d(dim), nn.GELU()]
        super().__init__(*layers[:-1])
        self.norm = nn.LayerNorm(dim)

    def forward(self, input: Images) -> FeatureMap:
        """(batch, height / 4, width / 4, channels)."""
        for layer in list(self)[:-1]:
            input = layer(input)
        return self.norm(input.permute(0, 2, 3, 1))


class ConvMerge(nn.Module):
    """Half the size, twice the channels, by two convolutions as in the stem."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.transform = nn.Sequential(nn.Conv2d(dim, dim, 3, 1, 1, bias=False), nn.BatchNorm2d(dim), nn.GELU())
        self.reduce, self.norm = nn.Conv2d(dim, 2 * dim, 3, 2, 1), nn.LayerNorm(2 * dim)

    def forward(self, features: FeatureMap) -> FeatureMap:
        """(batch, height / 2, width / 2, 2 · channels)."""
        merged = self.reduce(self.transform(features.permute(0, 3, 1, 2)))
        return self.norm(merged.permute(0, 2, 3, 1))


class LinearMerge(nn.Module):
    """Half the size, twice the channels, by a linear map of 2 × 2 neighbors, as in Swin."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm, self.reduce = nn.LayerNorm(4 * dim), nn.Linear(4 * dim, 2 * dim, bias=False)

    def forward(self, features: FeatureMap) -> FeatureMap:
        """(batch, height / 2, width / 2, 2 · channels)."""
        _, height, width, _ = features.shape
        even = F.pad(features, (0, 0, 0, width % 2, 0, height % 2))
        return self.reduce(self.norm(even.unflatten(2, (-1, 2)).unflatten(1, (-1, 2)).transpose(2, 3).flatten(3)))


class RegionStage(nn.Module):
    """Segmentation once, then Local-Global blocks.

    Args:
        dim: channels.
        rates: of stochastic depth, one for each block.
        window: side of a window.
        margin: how far beyond its window a region reaches.
        agr: whether regions have AGR tokens.
        propagation: between these.
        mask_pad: keep padding out of attention and means.
        receives: the tokens come from the stage before, and are no vector of its own.
        hands_on: the next stage reads the tokens, so that the last block propagates too.
    """

    def __init__(
        self,
        dim: int,
        rates: list[float],
        window: int,
        margin: int,
        *,
        agr: bool,
        propagation: Propagation,
        mask_pad: bool,
        receives: bool = False,
        hands_on: bool = False,
    ) -> None:
        super().__init__()
        self.window, self.margin, self.mask_pad, self.recompute = window, margin, mask_pad, False
        self.has_agr = agr
        own = agr and not receives
        self.agr = nn.Parameter(trunc_normal_(torch.empty(1, 1, dim), std=0.02)) if own else None
        self.blocks = nn.ModuleList(
            LocalGlobalBlock(
                dim,
                max(1, round(dim / 32)),
                window + 2 * margin,
                agr=agr,
                propagation=propagation if agr and (hands_on or at < len(rates) - 1) else "none",
                drop_path=rate,
            )
            for at, rate in enumerate(rates)
        )

    def forward(
        self, features: FeatureMap, received: FeatureMap | None = None
    ) -> tuple[FeatureMap, RegionMap, FeatureMap | None]:
        """Features of the same shape, the region of each place, and the regions' AGR tokens, where there are any.

        Args:
            features: the map.
            received: the tokens to begin with, one a window; None for the stage's own vector.
        """
        batch, height, width, _ = features.shape
        below, right = -height % self.window, -width % self.window
        padded = F.pad(features, (0, 0, 0, right, 0, below))
        valid = None
        if self.mask_pad and (below or right):
            valid = F.pad(torch.ones(height, width, dtype=torch.bool, device=features.device), (0, right, 0, below))
        regions = find_regions(padded, self.window, self.margin, valid, agr=self.has_agr)
        tokens = padded.flatten(1, 2)
        if received is not None:
            tokens = torch.cat([tokens, received.flatten(1, 2)], 1)
        elif self.agr is not None:
            tokens = torch.cat([tokens, self.agr.expand(batch, len(regions.occupied), -1)], 1)
        for block in self.blocks:
            tokens = checkpoint(block, tokens, regions) if self.recompute and self.training else block(tokens, regions)
        pixels = padded.shape[1] * padded.shape[2]
        laid = tokens[:, :pixels].unflatten(1, padded.shape[1:3])
        agr = tokens[:, pixels:].unflatten(1, (padded.shape[1] // self.window, -1)) if self.has_agr else None
        return laid[:, :height, :width], regions.index[:, :height, :width], agr


class GlobalStage(nn.Module):
    """Transformer blocks over the whole map."""

    def __init__(self, dim: int, rates: list[float], grid: int) -> None:
        super().__init__()
        self.recompute = False
        heads = max(1, round(dim / 32))
        self.blocks: Any = nn.ModuleList(GlobalBlock(dim, heads, rate, grid) for rate in rates)

    def forward(self, features: FeatureMap, received: None = None) -> tuple[FeatureMap, None, None]:
        """Features of the same shape; there are no regions, and so no AGR tokens."""
        height, width = features.shape[1:3]
        tokens = features.flatten(1, 2)
        for block in self.blocks:
            bias = block.bias(height, width).to(tokens.dtype)
            tokens = checkpoint(block, tokens, bias) if self.recompute and self.training else block(tokens, bias)
        return tokens.unflatten(1, (height, width)), None, None
