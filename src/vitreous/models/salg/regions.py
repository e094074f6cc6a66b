"""Irregular regions: every pixel of a feature map joins the window, its own or a close one, that it resembles most."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["FeatureMap", "Group", "RegionMap", "Regions", "find_regions", "segment"]

FeatureMap = Float[Tensor, "batch _ _ _"]
"""(batch, height, width, channels); all but the first differ from stage to stage."""
RegionMap = Int[Tensor, "batch _ _"]
"""The window, row by row, that each pixel belongs to."""

_GROUP = 64


@dataclass(frozen=True)
class Group:
    """Regions of about one size, each a row of slots that its tokens fill from the left.

    Attributes:
        tokens: the token at each slot, counted through the batch's sequences; just any one at a slot that is left.
        pairs: (regions, queries, keys), which entry of `RegionAttention.bias` lies between two slots.
    """

    tokens: Int[Tensor, "regions slots"]
    pairs: Int[Tensor, "regions slots slots"]


@dataclass(frozen=True)
class Regions:
    """The regions of a batch of feature maps, as attention needs them.

    A token is a pixel or, where there are such, a region's AGR token; these follow an image's pixels.

    Attributes:
        index: the region of each pixel.
        groups: all regions, by size.
        place: (batch, tokens), the slot of each token, counted through all groups; 0 for padding, which has none.
        occupied: (regions,), False for a window that is padding alone.
    """

    index: RegionMap
    groups: tuple[Group, ...]
    place: Int[Tensor, "batch tokens"]
    occupied: Bool[Tensor, " regions"]


def segment(
    features: FeatureMap, window: int, margin: int, valid: Bool[Tensor, "height width"] | None = None
) -> RegionMap:
    """Their eq. 1: the region of each pixel is the covering window whose mean is most similar by cosine.

    A pixel is covered by its own window and by those whose border is at most `margin` away. Ties go to its own window.
    Without gradient, in float32.

    Args:
        features: height and width are multiples of `window`.
        window: side of a window.
        margin: at most half a window; 0 gives the windows themselves.
        valid: False on padding, which takes no part in the means; None where there is none.
    """
    batch, height, width, _ = features.shape
    rows, columns = height // window, width // window
    own = torch.arange(rows * columns, device=features.device).view(rows, columns)
    if margin == 0:
        return own.repeat_interleave(window, 0).repeat_interleave(window, 1).expand(batch, -1, -1)
    with torch.autocast(features.device.type, enabled=False):
        cells = F.normalize(features.detach().float(), dim=-1, eps=1e-8)
        weight = cells.new_ones(height, width) if valid is None else valid.to(cells)
        summed = _windows(features.detach().float() * weight[..., None], window).sum((2, 4))
        means = F.normalize(summed, dim=-1, eps=1e-8)  # a mean's length does not matter to its cosine
        occupied = _windows(weight[None, ..., None], window).sum((2, 4))[0, ..., 0] > 0
        offsets = [(0, 0), *((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0))]
        near = torch.arange(window, device=features.device)
        reach = {-1: near < margin, 0: near >= 0, 1: near >= window - margin}
        similar = [
            _similarity(_windows(cells, window), means, occupied, reach[y][:, None, None] & reach[x], (y, x))
            for y, x in offsets
        ]
        shift = torch.tensor([y * columns + x for y, x in offsets], device=features.device)
    base = own.repeat_interleave(window, 0).repeat_interleave(window, 1)
    return base + shift[torch.stack(similar).argmax(0)]  # the first of equals: the own window


def find_regions(
    features: FeatureMap, window: int, margin: int, valid: Bool[Tensor, "height width"] | None = None, *, agr: bool
) -> Regions:
    """Segment, and lay the regions out for attention, with an AGR token each if `agr`. Padding is in no row."""
    index = segment(features, window, margin, valid)
    batch, height, width = index.shape
    count, side = (height // window) * (width // window), window + 2 * margin
    total, device = batch * count, index.device
    numbers = torch.arange(total, device=device).view(batch, count)
    owner = index + numbers[:, :1, None]
    owner = (owner if valid is None else owner.where(valid, total)).flatten(1)
    owner = (torch.cat([owner, numbers], 1) if agr else owner).flatten()
    sizes = owner.new_zeros(total + 1).index_add_(0, owner, torch.ones_like(owner))
    order = owner.argsort(stable=True)
    starts = sizes.cumsum(0) - sizes
    code = torch.arange(height, device=device)[:, None] * (2 * side - 1) + torch.arange(width, device=device)
    code = F.pad(code.flatten(), (0, count if agr else 0), value=-1)
    groups: list[Group] = []
    firsts, filled = torch.zeros_like(sizes), 0
    for rows in sizes[:total].argsort().split(_GROUP):
        longest = int(sizes[rows].max())
        slots = torch.arange(longest, device=device)
        used = slots < sizes[rows, None]
        tokens = order[(starts[rows, None] + slots).clamp(max=len(order) - 1)]
        groups.append(Group(tokens, _pairs(code[tokens % len(code)], used, side)))
        firsts[rows] = filled + slots.new_tensor(range(len(rows))) * longest
        filled += tokens.numel()
    rank = torch.empty_like(order).index_copy_(0, order, torch.arange(len(order), device=device))
    place = (firsts[owner] + rank - starts[owner]).where(owner < total, 0).view(batch, -1)
    if valid is None:
        occupied = torch.ones(count, dtype=torch.bool, device=device)
    else:
        occupied = _windows(valid[None, ..., None], window).any(4).any(2)[0, ..., 0].flatten()
    return Regions(index, tuple(groups), place, occupied)


def _pairs(code: Int[Tensor, "regions slots"], used: Bool[Tensor, "regions slots"], side: int) -> Tensor:
    """(regions, queries, keys): 0 where a slot is not used, then the offsets in an area of that side, then the three of
    an AGR token, which has code -1: reading, being read, and itself."""
    offsets = (2 * side - 1) ** 2
    agr = (code < 0).long()
    pairs = code[:, :, None] - code[:, None] + 1 + offsets // 2
    pairs = pairs.where(agr[:, :, None] | agr[:, None] == 0, offsets + agr[:, :, None] + 2 * agr[:, None])
    return pairs.where(used[:, :, None] & used[:, None], 0)


def _windows(cells: Tensor, window: int) -> Tensor:
    """(batch, rows, window, columns, window, channels)."""
    return cells.unflatten(2, (-1, window)).unflatten(1, (-1, window))


def _similarity(
    windows: Tensor, means: Tensor, occupied: Tensor, reached: Tensor, offset: tuple[int, int]
) -> Float[Tensor, "batch height width"]:
    """Of each pixel to the window at that offset from its own, -inf where that does not cover it."""
    neighbor, exists = _shifted(means, offset), _shifted(occupied[None, ..., None], offset)[0, ..., 0]
    similar = torch.einsum("brycxd,brcd->brycx", windows, neighbor)
    if offset != (0, 0):  # its own always does
        similar = similar.where(exists[:, None, :, None] & reached, -torch.inf)
    return similar.flatten(3, 4).flatten(1, 2)


def _shifted(grid: Tensor, offset: tuple[int, int]) -> Tensor:
    """The grid's value that many rows below and columns to the right; 0 beyond the border."""
    (_, rows, columns, _), (down, right) = grid.shape, offset
    padded = F.pad(grid, (0, 0, 1, 1, 1, 1))
    return padded[:, 1 + down : 1 + down + rows, 1 + right : 1 + right + columns]
