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
"""Regions that are laid out as long as the largest of them: fewer have less padding, and more calls."""
_TIE = 1e-6
"""Cosines and norms below which rounding decides."""
_OWN_FIRST = [4, 0, 1, 2, 3, 5, 6, 7, 8]
"""Of the nine windows around a pixel, row by row."""


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

    A pixel is covered by its own window and by those whose border is at most `margin` away. Cosines within 1e-6 of the
    best, less than which rounding can turn, are ties; these go to its own window, else to the first row by row.
    Without gradient, in float32.

    Args:
        features: height and width are multiples of `window`.
        window: side of a window.
        margin: at most half a window; 0 gives the windows themselves.
        valid: False on padding, which takes no part in the means; None where there is none.
    """
    windows = _windows(features.detach().float(), window)
    batch, count, cells, _ = windows.shape
    rows, columns = features.shape[1] // window, features.shape[2] // window
    own = torch.arange(count, device=features.device)[:, None].expand(batch, -1, cells)
    if margin == 0:
        return _map(own, rows, window)
    weight = windows.new_ones(1, count, cells, 1) if valid is None else _windows(valid[None, ..., None], window).float()
    near = torch.arange(window, device=features.device)
    reach = torch.stack([near < margin, near >= 0, near >= window - margin])
    reach = (reach[:, None, :, None] & reach[:, None]).flatten(2).flatten(0, 1).T
    with torch.autocast(features.device.type, enabled=False):
        means = F.normalize((windows * weight).sum(2), dim=-1, eps=_TIE)  # its length does not matter to its cosine
        similar = F.normalize(windows, dim=-1, eps=_TIE) @ _around(means.unflatten(1, (rows, columns)))
    covers = _around(weight.amax(2).unflatten(1, (rows, columns))) * reach[:, _OWN_FIRST]
    similar = similar.masked_fill(covers == 0, -torch.inf)
    best = (similar >= similar.amax(-1, keepdim=True) - _TIE).byte().argmax(-1)  # the first of equals
    steps = torch.tensor([y * columns + x for y in (-1, 0, 1) for x in (-1, 0, 1)], device=features.device)
    return _map(own + steps[_OWN_FIRST][best], rows, window)


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
    # then no shape may depend on what an image shows
    fixed = torch.compiler.is_compiling() or torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
    parts = sizes[:total].argsort().split(total if fixed else _GROUP)
    # the last of a part is its largest; a GPU is waited for once
    lengths = [side**2 + agr] if fixed else sizes[torch.stack([rows[-1] for rows in parts])].tolist()
    for rows, longest in zip(parts, lengths, strict=True):
        slots = torch.arange(longest, device=device)
        used = slots < sizes[rows, None]
        tokens = order[(starts[rows, None] + slots).clamp(max=len(order) - 1)]
        groups.append(Group(tokens, _pairs(code[tokens % len(code)], used, side)))
        firsts[rows] = filled + torch.arange(len(rows), device=device) * longest
        filled += tokens.numel()
    rank = torch.empty_like(order).index_copy_(0, order, torch.arange(len(order), device=device))
    place = (firsts[owner] + rank - starts[owner]).where(owner < total, 0).view(batch, -1)
    if valid is None:
        occupied = torch.ones(count, dtype=torch.bool, device=device)
    else:
        occupied = _windows(valid[None, ..., None], window).any(2)[0, :, 0]
    return Regions(index, tuple(groups), place, occupied)


def _pairs(code: Int[Tensor, "regions slots"], used: Bool[Tensor, "regions slots"], side: int) -> Tensor:
    """(regions, queries, keys), which entry of `RegionAttention.bias` lies between two slots.

    0 where one is not used, then the offsets in an area of that side, then an AGR token (code -1) that reads, is read,
    and reads itself.
    """
    offsets = (2 * side - 1) ** 2
    agr = (code < 0).long()
    pairs = code[:, :, None] - code[:, None] + 1 + offsets // 2
    pairs = pairs.where(agr[:, :, None] | agr[:, None] == 0, offsets + agr[:, :, None] + 2 * agr[:, None])
    return pairs.where(used[:, :, None] & used[:, None], 0)


def _windows(cells: Tensor, window: int) -> Tensor:
    """(batch, windows, window², channels) of (batch, height, width, channels)."""
    return cells.unflatten(2, (-1, window)).unflatten(1, (-1, window)).transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _map(windows: Tensor, rows: int, window: int) -> Tensor:
    """(batch, height, width) of (batch, windows, window²), of which so many rows lie below each other."""
    return windows.unflatten(2, (window, window)).unflatten(1, (rows, -1)).transpose(2, 3).flatten(3, 4).flatten(1, 2)


def _around(grid: Tensor) -> Tensor:
    """(batch, windows, channels, 9): what lies around each of (batch, rows, columns, channels), 0 beyond the border."""
    return F.pad(grid, (0, 0, 1, 1, 1, 1)).unfold(1, 3, 1).unfold(2, 3, 1).flatten(4).flatten(1, 2)[..., _OWN_FIRST]
