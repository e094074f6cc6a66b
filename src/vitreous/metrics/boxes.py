"""Boxes (xyxy, pixels, right and bottom exclusive), and how they overlap."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vitreous.errors import ShapeError
from vitreous.masking.components import Boxes

__all__ = ["Boxes", "box_iou", "check_boxes", "resize_boxes", "union_of_boxes"]


def union_of_boxes(boxes: Boxes, size: tuple[int, int], *, inclusive: bool = False) -> Bool[Tensor, "height width"]:
    """The pixels that lie in any of the boxes.

    Args:
        boxes: any number.
        size: (height, width).
        inclusive: right and bottom are inside too, so every box is a pixel larger.

    >>> union_of_boxes(torch.tensor([[0, 0, 2, 1]]), (2, 3)).int()
    tensor([[1, 1, 0],
            [0, 0, 0]], dtype=torch.int32)
    """
    x, y = (torch.arange(side, device=boxes.device) for side in reversed(size))
    left, top, right, bottom = (boxes + torch.tensor([0, 0, 1, 1], device=boxes.device) * int(inclusive)).T[..., None]
    across, down = (left <= x) & (x < right), (top <= y) & (y < bottom)
    return (down[:, :, None] & across[:, None, :]).any(0)


def resize_boxes(boxes: Float[Tensor, "_ 4"] | Boxes, size: tuple[int, int], new_size: tuple[int, int]) -> Boxes:
    """Boxes in a picture of size (height, width), moved to where they are when it is resized: v / side · new side, cut.

    >>> resize_boxes(torch.tensor([[10, 10, 99, 50]]), (100, 200), (224, 224))
    tensor([[ 11,  22, 110, 112]])
    """
    old = torch.tensor([size[1], size[0]] * 2, dtype=torch.float64, device=boxes.device)
    new = torch.tensor([new_size[1], new_size[0]] * 2, dtype=torch.float64, device=boxes.device)
    return (boxes / old * new).long()


def box_iou(
    one: Int[Tensor, "one 4"], other: Int[Tensor, "other 4"], *, inclusive: bool = False
) -> Float[Tensor, "one other"]:
    """Intersection over union of every box with every other.

    >>> box_iou(torch.tensor([[0, 0, 2, 2]]), torch.tensor([[1, 0, 3, 2]]))
    tensor([[0.3333]])
    """
    a, b = one[:, None], other[None]
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    shared = (high - low + int(inclusive)).clamp(min=0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2] + int(inclusive)).prod(-1) for box in (a, b)]
    return shared / (areas[0] + areas[1] - shared).clamp(min=1)


def check_boxes(images: int, boxes: list[Boxes]) -> None:
    """Refuse boxes that do not belong to these images, or none at all.

    Raises:
        ShapeError: each image needs at least one box, with left < right and top < bottom.
    """
    if len(boxes) != images:
        raise ShapeError(f"{images} heat maps got the boxes of {len(boxes)} images. Give one tensor of boxes per map.")
    for at, each in enumerate(boxes):
        if not len(each):
            raise ShapeError(f"image {at} has no boxes. Leave the image out.")
        if (each[:, :2] >= each[:, 2:]).any():
            raise ShapeError(
                f"image {at} has a box of no width or height: {each.tolist()}. Give left, top, right, bottom."
            )
