"""Pixels ranked by the map, and forward passes with bands of ranks hidden: where a metric spends its time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vitreous.errors import ShapeError
from vitreous.masking.fill import Fill
from vitreous.masking.forward import Masks, Progress, masked_logits
from vitreous.metrics.metric import PictureMap, levelled
from vitreous.shapes import Heatmap, Images, TargetClass

__all__ = ["Band", "Bands", "band_logits", "hidden_logits", "one_hot", "ranks"]

Band = tuple[int, int]
"""Ranks from … up to, not including, …; rank 0 is the pixel where the map is highest."""


def ranks(values: PictureMap) -> Int[Tensor, "batch height width"]:
    """The place of each pixel in its map's falling order; equal pixels in reading order.

    >>> ranks(torch.tensor([[[0.1, 0.9], [0.5, 0.1]]]))
    tensor([[[2, 0],
             [1, 3]]])
    """
    flat = values.flatten(1)
    order = flat.argsort(dim=1, descending=True, stable=True)
    place = torch.arange(flat.shape[1], device=flat.device).expand_as(order)
    return torch.empty_like(order).scatter(1, order, place).reshape(values.shape)


@dataclass(frozen=True)
class Bands:
    """Masks made when asked for: mask i hides the pixels whose rank lies in band i."""

    rank: Int[Tensor, "height width"]
    low: Int[Tensor, " masks"]
    high: Int[Tensor, " masks"]

    def __len__(self) -> int:
        """How many masks there are."""
        return len(self.low)

    def __getitem__(self, part: slice) -> Bool[Tensor, "masks height width"]:
        """Some of the masks."""
        return (self.rank >= self.low[part, None, None]) & (self.rank < self.high[part, None, None])


def band_logits(
    model: nn.Module,
    images: Images,
    heatmap: Heatmap,
    bands: Sequence[Band],
    fill: Fill,
    *,
    batch_size: int = 64,
    precision: torch.dtype | None = None,
) -> Float[Tensor, "batch bands classes"]:
    """The class scores of every image with each band of ranks of its map hidden. Equal bands share a forward pass.

    Args:
        model: comes back as it was.
        images: (batch, channels, height, width), normalized.
        heatmap: (batch, h, w), raw.
        bands: every empty one is the image itself.
        fill: what is put in the place of what is hidden.
        batch_size: masked images per forward pass; bounds memory.
        precision: what autocast computes in; None for the model's own.

    Cost: batch × different bands forward passes.
    """
    plain = [band if band[0] < band[1] else (0, 0) for band in bands]
    different = list(dict.fromkeys(plain))
    rank = ranks(levelled(heatmap, (images.shape[2], images.shape[3])))
    low, high = torch.tensor(different, device=rank.device).T
    masks: list[Masks] = [Bands(each, low, high) for each in rank]
    logits = hidden_logits(model, images, masks, fill, batch_size=batch_size, precision=precision)
    return logits[:, [different.index(band) for band in plain]]


def hidden_logits(
    model: nn.Module,
    images: Images,
    hidden: Masks | list[Masks],
    fill: Fill,
    *,
    batch_size: int = 64,
    precision: torch.dtype | None = None,
    progress: Progress | None = None,
) -> Float[Tensor, "batch masks classes"]:
    """`masked_logits`, if wanted under autocast, and never in less than single precision."""
    low = torch.autocast(images.device.type, precision) if precision else nullcontext()
    with low:
        logits = masked_logits(model, images, hidden, fill, batch_size=batch_size, progress=progress)
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def one_hot(target: TargetClass, logits: Float[Tensor, "batch masks classes"]) -> Float[Tensor, "batch classes"]:
    """The direction of one class per image.

    Raises:
        ShapeError: not one class per image, or none of the model's.
    """
    batch, _, classes = logits.shape
    if len(target) != batch or not 0 <= int(target.min()) <= int(target.max()) < classes:
        raise ShapeError(
            f"`target` must name one of {classes} classes for each of {batch} images; got {target.tolist()}."
        )
    return nn.functional.one_hot(target, classes).to(logits)
