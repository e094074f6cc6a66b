"""Boxes on a picture."""

from __future__ import annotations

from jaxtyping import Shaped
from PIL import Image, ImageDraw
from torch import Tensor

__all__ = ["FOUND", "GIVEN", "RIGHT", "SHOWN", "WRONG", "draw_boxes", "line_of"]

GIVEN, FOUND = "#22c55e", "#00e5ff"
"""Colors of boxes that the data has, and of those that were found in a map."""
RIGHT, WRONG, SHOWN = "#3b82f6", "#ef4444", "#ffd60a"
"""Colors of detections that are right, wrong, and of which nobody knows."""


def draw_boxes(picture: Image.Image, boxes: Shaped[Tensor, "_ 4"], size: tuple[int, int], color: str) -> Image.Image:
    """A copy of the picture with boxes on it, in lines that grow with the picture.

    Args:
        picture: RGB.
        boxes: left, top, right, bottom, right and bottom exclusive.
        size: (height, width) of what they lie in, which the picture shows all of.
        color: of the lines.
    """
    drawn, wide = picture.convert("RGB").copy(), line_of(picture)
    pen = ImageDraw.Draw(drawn)
    across, down = picture.width / size[1], picture.height / size[0]
    for left, top, right, bottom in boxes.tolist():
        corners = (
            left * across,
            top * down,
            max(right * across - 1, left * across),
            max(bottom * down - 1, top * down),
        )
        pen.rectangle(corners, outline=color, width=wide)
    return drawn


def line_of(picture: Image.Image) -> int:
    """How wide its lines are, in pixels."""
    return max(1, round(max(picture.size) / 200))
