"""Boxes (xyxy, pixels, right and bottom exclusive), and the components of a mask that they enclose."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vitreous.errors import ShapeError

__all__ = ["Boxes", "box_iou", "check_boxes", "component_boxes", "components", "resize_boxes", "union_of_boxes"]

Boxes = Int[Tensor, "_ 4"]
"""Left, top, right, bottom."""


def components(mask: Bool[Tensor, "batch height width"]) -> Int[Tensor, "batch height width"]:
    """A number per 8-connected component, which differs between the components of a mask; −1 outside.

    Every pixel points at one of its component and follows the largest pointer among its neighbors, then the pointer
    of the pixel it points at, until nothing changes: a few rounds, whatever the shape.
    """
    batch, height, width = mask.shape
    flat = mask.flatten(1)
    place = torch.arange(height * width, device=mask.device).expand(batch, -1)
    pointer = torch.where(flat, place, -1)
    exact = torch.float32 if height * width <= 2**24 else torch.float64  # max pooling takes no integers
    while True:
        grid = pointer.to(exact).unflatten(1, (1, height, width))
        largest = F.max_pool2d(grid, 3, stride=1, padding=1).flatten(1).long()
        largest = torch.where(flat, largest, -1)
        # what one pixel learns goes to the pixel that it points at, so that whole components join at once
        hooked = largest.scatter_reduce(1, pointer.clamp(min=0), largest, "amax")
        new = torch.where(flat, hooked.gather(1, hooked.clamp(min=0)), -1)
        if torch.equal(new, pointer):
            return pointer.unflatten(1, (height, width))
        pointer = new


def component_boxes(mask: Bool[Tensor, "batch height width"]) -> list[tuple[Boxes, Int[Tensor, " _"]]]:
    """Per mask, the box around each 8-connected component, and how many pixels the component has.

    >>> component_boxes(torch.tensor([[[True, False, True], [False, False, True]]]))
    [(tensor([[0, 0, 1, 1],
            [2, 0, 3, 2]]), tensor([1, 2]))]
    """
    batch, height, width = mask.shape
    pointer = components(mask).flatten(1)
    place = torch.arange(height * width, device=mask.device)
    is_root = pointer == place  # one pixel of each component points at itself
    # one slot more takes what lies outside
    slot = torch.where(pointer < 0, height * width, pointer)
    none = slot.new_zeros(batch, height * width + 1)
    rows, columns = ((place // width).expand(batch, -1), (place % width).expand(batch, -1))
    corners = [
        none.scatter_reduce(1, slot, values, rule, include_self=False)[:, :-1][is_root]
        for values, rule in ((columns, "amin"), (rows, "amin"), (columns + 1, "amax"), (rows + 1, "amax"))
    ]
    pixels = none.scatter_add(1, slot, torch.ones_like(slot))[:, :-1][is_root]
    sizes = is_root.sum(1).tolist()
    return list(zip(torch.stack(corners, 1).split(sizes), pixels.split(sizes), strict=True))


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
