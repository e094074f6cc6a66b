"""A sample as the model sees it: boxes and mask move with the picture, labels become the model's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from vitreous.data.samples import Sample
from vitreous.errors import DataError, ShapeError
from vitreous.metrics.boxes import Boxes, resize_boxes, union_of_boxes
from vitreous.models.preprocess import Preprocess

__all__ = ["PreparedSample", "crop_mask", "move_boxes", "prepare_sample"]

Size = tuple[int, int]


@dataclass(frozen=True)
class PreparedSample:
    """A sample as the model sees it.

    Attributes:
        id: of the sample.
        image: the model's input.
        label: the model's index of its class, where known.
        boxes: in pixels of the input, where any is left in it.
        mask: on the pixels of the input, where any of the object is left in it; of a sample without one, its boxes'.
    """

    id: str
    image: Float[Tensor, "channels height width"]
    label: int | None
    boxes: Boxes | None
    mask: Bool[Tensor, "height width"] | None


def prepare_sample(sample: Sample, preprocess: Preprocess, label: int | None) -> PreparedSample:
    """Prepare a sample for the model.

    Raises:
        DataError: the picture does not fit the model.
    """
    try:
        image = preprocess(sample.picture)
    except ShapeError as error:
        raise DataError(f"`{sample.id}` does not fit the model: {error}") from None
    old = (sample.picture.height, sample.picture.width)
    resized, corner = preprocess.frame(sample.picture)
    boxes = mask = None
    if sample.boxes is not None:
        boxes = move_boxes(torch.from_numpy(sample.boxes), old, resized, corner, preprocess.size)
        mask = union_of_boxes(boxes, preprocess.size)
    if sample.mask is not None:
        mask = crop_mask(torch.from_numpy(sample.mask), resized, corner, preprocess.size)
    kept = boxes if boxes is not None and len(boxes) else None
    return PreparedSample(sample.id, image, label, kept, mask if mask is not None and mask.any() else None)


def move_boxes(boxes: Float[Tensor, "_ 4"], old: Size, resized: Size, corner: Size, size: Size) -> Boxes:
    """Boxes of a picture, resized and cropped with it; fractions are cut off, and what lies outside is left out.

    Args:
        boxes: in a picture of size `old`.
        old: (height, width), like all sizes.
        resized: what the picture is resized to.
        corner: (top, left) of the crop.
        size: of the crop.

    >>> move_boxes(torch.tensor([[0.0, 0.0, 40.0, 20.0]]), (20, 80), (10, 40), (0, 15), (10, 10))
    tensor([[ 0,  0,  5, 10]])
    """
    moved = resize_boxes(boxes, old, resized) - torch.tensor([corner[1], corner[0]] * 2)
    low, high = moved[:, :2], torch.maximum(moved[:, 2:], moved[:, :2] + 1)  # at least a pixel of a thin box
    end = torch.tensor([size[1], size[0]])
    inside = ((low < end) & (high > 0)).all(1)
    return torch.cat([low.clamp(min=0), torch.minimum(high, end)], 1)[inside]


def crop_mask(
    mask: Bool[Tensor, "old_height old_width"], resized: Size, corner: Size, size: Size
) -> Bool[Tensor, "height width"]:
    """A mask of a picture, resized (to the nearest pixel) and cropped with it; nothing beyond its edges."""
    enlarged = F.interpolate(mask[None, None].to(torch.uint8), resized, mode="nearest-exact")[0, 0]
    top, left = corner
    margins = (-left, left + size[1] - resized[1], -top, top + size[0] - resized[0])  # negative ones crop
    return F.pad(enlarged, margins).bool()
