"""The connected parts of a mask, and the boxes around them: xyxy, pixels, right and bottom exclusive."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int
from torch import Tensor

from vitreous.shapes import PixelMap, PixelMask

__all__ = ["Box", "Boxes", "boxes_by_rank", "component_boxes", "components"]

Box = tuple[int, int, int, int]
"""Left, top, right, bottom."""
Boxes = Int[Tensor, "_ 4"]
"""Likewise, one a row."""


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


def boxes_by_rank(mask: PixelMask, values: PixelMap) -> list[Box]:
    """The box around each 8-connected component of one mask, that with the highest value in it first.

    >>> mask, values = torch.tensor([[True, False, True]]), torch.tensor([[1.0, 9.0, 2.0]])
    >>> boxes_by_rank(mask, values)
    [(2, 0, 3, 1), (0, 0, 1, 1)]
    """
    pointer = components(mask[None])[0].flatten()
    inside = pointer >= 0
    highest = values.flatten().new_full((mask.numel(),), -torch.inf)
    highest = highest.scatter_reduce(0, pointer[inside], values.flatten()[inside], "amax")
    roots = (pointer == torch.arange(mask.numel(), device=mask.device)).nonzero()[:, 0]
    boxes = component_boxes(mask[None])[0][0]
    left, top, right, bottom = (boxes[highest[roots].argsort(descending=True, stable=True)]).T.tolist()
    return list(zip(left, top, right, bottom, strict=True))
