"""A patch, cut out of its picture with those around it."""

from __future__ import annotations

from PIL import Image, ImageDraw

from vitreous.render.blocks import block_box, thickness

__all__ = ["crop_patch"]

_FRAME, _SHADE = "#ffe600", "#16181d"


def crop_patch(picture: Image.Image, grid: tuple[int, int], patch: tuple[int, int], side: int = 112) -> Image.Image:
    """A patch and the eight around it, as far as they lie in the picture, the patch framed.

    Args:
        picture: RGB, exactly the part that the model saw.
        grid: (height, width) in patches.
        patch: (row, column) of the patch, from 0.
        side: of the longer side of the result, in pixels.
    """
    row, column = patch
    left, top, *_ = block_box(picture, grid, max(row - 1, 0), max(column - 1, 0))
    *_, right, bottom = block_box(picture, grid, min(row + 1, grid[0] - 1), min(column + 1, grid[1] - 1))
    scale = side / max(right - left, bottom - top)
    size = max(1, round(scale * (right - left))), max(1, round(scale * (bottom - top)))
    page = picture.resize(size, Image.Resampling.BICUBIC, (left, top, right, bottom))
    own = block_box(picture, grid, row, column)
    frame = [round(scale * (edge - at)) for edge, at in zip(own, (left, top, left, top), strict=True)]
    draw, line = ImageDraw.Draw(page), thickness(page)
    for color, width in ((_SHADE, 2 * line), (_FRAME, line)):
        draw.rectangle((frame[0], frame[1], frame[2] - 1, frame[3] - 1), outline=color, width=width)
    return page
