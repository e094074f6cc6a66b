"""The Local-Global block: attention within regions, and propagation between their aggregation (AGR) tokens.

Pixels and AGR tokens of an image travel as one sequence, (batch, pixels + regions, channels), since they share norms,
projections and MLP.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from timm.layers.drop import DropPath
from timm.layers.mlp import Mlp
from timm.layers.weight_init import trunc_normal_
from torch import Tensor, nn

from vitreous.models.salg.regions import Regions

__all__ = ["Average", "GlobalBlock", "LocalGlobalBlock", "Propagation", "RegionAttention", "relative_index"]

Sequence = Float[Tensor, "batch _ channels"]
Propagation = Literal["ap", "msa", "none"]
"""How AGR tokens exchange what they gathered: average pooling (eq. 4), a transformer block (eq. 3), or not at all."""


def relative_index(height: int, width: int) -> Tensor:
    """(cells, cells): which entry of a table of (2·height - 1) × (2·width - 1) offsets lies between two cells."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    y, x = y.flatten(), x.flatten()
    return (y[:, None] - y + height - 1) * (2 * width - 1) + x[:, None] - x + width - 1


class RegionAttention(nn.Module):
    """Self-attention of each pixel with its region, and with the region's AGR token where there is one (eq. 2).

    Args:
        dim: channels.
        heads: of attention.
        area: side of a coverage area.
        agr: whether the sequence ends with one AGR token per region.
    """

    def __init__(self, dim: int, heads: int, area: int, *, agr: bool) -> None:
        super().__init__()
        self.heads, self.area, self.agr = heads, area, agr
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.table = nn.Parameter(trunc_normal_(torch.empty((2 * area - 1) ** 2, heads), std=0.02))
        self.agr_bias = nn.Parameter(torch.zeros(3, heads)) if agr else None

    def forward(self, tokens: Sequence, regions: Regions) -> Sequence:
        """The sequence of the same shape."""
        groups = regions.groups
        cells = torch.cat([group.tokens.flatten() for group in groups])
        pairs = torch.cat([group.pairs.flatten() for group in groups])
        laid = self.qkv(tokens).flatten(0, 1).index_select(0, cells).unflatten(1, (3, self.heads, -1))
        bias = self.bias().to(laid.dtype).index_select(1, pairs)  # heads first: rows that short are slow to add up
        rows = laid.split([group.tokens.numel() for group in groups])
        masks = bias.split([group.pairs.numel() for group in groups], 1)
        mixed: list[Tensor] = []
        for group, row, mask in zip(groups, rows, masks, strict=True):
            query, key, value = row.unflatten(0, group.tokens.shape).permute(2, 0, 3, 1, 4).unbind(0)
            added = mask.unflatten(1, group.pairs.shape).transpose(0, 1)
            out = F.scaled_dot_product_attention(query, key, value, attn_mask=added)
            mixed.append(out.transpose(1, 2).flatten(2).flatten(0, 1))
        return self.proj(torch.cat(mixed).index_select(0, regions.place.flatten()).unflatten(0, regions.place.shape))

    def bias(self) -> Float[Tensor, "heads entries"]:
        """What is added to a score: -1e4, which is 0 after softmax, for a slot that is not used, then the table.

        After these the biases of the AGR token, where there is one: reading, being read, and reading itself.
        """
        hidden = self.table.new_full((1, self.heads), -1e4)
        return torch.cat([hidden, self.table] if self.agr_bias is None else [hidden, self.table, self.agr_bias]).T


class Average(nn.Module):
    """Their eq. 4: every AGR token becomes the mean of all; nothing to learn."""

    def forward(self, agr: Sequence, regions: Regions) -> Sequence:
        """AGR tokens of the same shape."""
        counts = regions.occupied[:, None].to(agr.dtype)
        return ((agr * counts).sum(1, keepdim=True) / counts.sum()).expand_as(agr)


class GlobalBlock(nn.Module):
    """A pre-norm transformer block over all tokens.

    Args:
        dim: channels.
        heads: of attention.
        drop_path: probability of leaving out a residual branch.
        grid: side of the grid that the relative position bias is kept for; 0 for none.
    """

    def __init__(self, dim: int, heads: int, drop_path: float = 0.0, grid: int = 0) -> None:
        super().__init__()
        self.heads, self.grid = heads, grid
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = Mlp(dim, 4 * dim)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.table = nn.Parameter(trunc_normal_(torch.empty((2 * grid - 1) ** 2, heads), std=0.02)) if grid else None

    def forward(self, tokens: Sequence, mask: Tensor | None = None) -> Sequence:
        """Tokens of the same shape; `mask` is added to the scores or, if bool, says which keys count."""
        qkv = self.qkv(self.norm1(tokens)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*qkv.unbind(0), attn_mask=mask)
        tokens = tokens + self.drop_path(self.proj(mixed.transpose(1, 2).flatten(2)))
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))

    def bias(self, height: int, width: int) -> Float[Tensor, "heads tokens tokens"] | None:
        """The relative position bias of a grid, interpolated from the one it is kept for."""
        if self.table is None:
            return None
        side, wanted = 2 * self.grid - 1, (2 * height - 1, 2 * width - 1)
        table = self.table.T.unflatten(1, (side, side))
        if wanted != (side, side):
            table = F.interpolate(table[None].float(), wanted, mode="bicubic")[0].to(table.dtype)
        return table.flatten(1)[:, relative_index(height, width).to(table.device)]


class _Transformer(GlobalBlock):
    """Their eq. 3: a transformer block over the AGR tokens."""

    def forward(self, agr: Sequence, regions: Regions) -> Sequence:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().forward(agr, regions.occupied.expand(1, 1, 1, -1))


class LocalGlobalBlock(nn.Module):
    """Attention within regions, MLP, then propagation between AGR tokens.

    Args:
        dim: channels.
        heads: of attention.
        area: side of a coverage area.
        agr: whether there are AGR tokens.
        propagation: how they exchange what they gathered; "none" in a stage's last block, which nobody would read.
        drop_path: probability of leaving out a residual branch.
    """

    def __init__(
        self, dim: int, heads: int, area: int, *, agr: bool, propagation: Propagation, drop_path: float
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = RegionAttention(dim, heads, area, agr=agr)
        self.mlp = Mlp(dim, 4 * dim)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.inter: Any = {"ap": Average, "msa": lambda: _Transformer(dim, heads), "none": lambda: None}[propagation]()

    def forward(self, tokens: Sequence, regions: Regions) -> Sequence:
        """The sequence of the same shape."""
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens), regions))
        tokens = tokens + self.drop_path(self.mlp(self.norm2(tokens)))
        if self.inter is None:
            return tokens
        pixels = tokens.shape[1] - len(regions.occupied)
        return torch.cat([tokens[:, :pixels], self.inter(tokens[:, pixels:], regions)], 1)
