"""Blocks of a picture: those that stay, the walks over them, and their numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from vitreous.render.colormap import colorize

__all__ = ["block_box", "draw_blocks", "draw_table", "draw_walks", "frame_patches", "thickness"]

_PAPER, _INK, _LINE, _START = (255, 255, 255), "#16181d", "#f76c3c", "#fdf6b2"
_MARK = "#4cc9f0"
_DIMMED = 0.25
"""What is left of the picture where no block stays."""


def draw_blocks(picture: Image.Image, weights: Float[Tensor, "h w"]) -> Image.Image:
    """The picture where blocks stay (weight above 0), faded elsewhere; frames in the color of the weights, 0 to 1."""
    pale = Image.blend(Image.new("RGB", picture.size, _PAPER), picture.convert("RGB"), _DIMMED)
    colors = colorize(weights.detach().float().cpu().numpy())
    line = thickness(picture)
    draw = ImageDraw.Draw(pale)
    for row, column in weights.nonzero().tolist():
        box = block_box(picture, (weights.shape[0], weights.shape[1]), row, column)
        pale.paste(picture.crop(box), box)
        frame = (box[0], box[1], box[2] - 1, box[3] - 1)
        draw.rectangle(frame, outline=tuple(colors[row, column].tolist()), width=line)
    return pale


def frame_patches(picture: Image.Image, marked: Bool[np.ndarray, "h w"]) -> Image.Image:
    """The picture with a frame around every marked patch."""
    page, line = picture.copy(), thickness(picture)
    draw, grid = ImageDraw.Draw(page), (marked.shape[0], marked.shape[1])
    for row, column in np.argwhere(marked).tolist():
        left, top, right, bottom = block_box(picture, grid, row, column)
        for color, width in ((_INK, 2 * line), (_MARK, line)):
            draw.rectangle((left, top, right - 1, bottom - 1), outline=color, width=width)
    return page


def draw_walks(picture: Image.Image, grid: tuple[int, int], walks: Sequence[Sequence[int]]) -> Image.Image:
    """Walks as lines from block to block, each from a dot where it starts.

    Args:
        picture: RGB.
        grid: (height, width) of the blocks.
        walks: nodes in order of visit; block (row, column) is node row · width + column.
    """
    page = Image.blend(Image.new("RGB", picture.size, _PAPER), picture.convert("RGB"), 0.6)
    draw, line = ImageDraw.Draw(page), thickness(picture)
    for walk in walks:
        boxes = [block_box(picture, grid, node // grid[1], node % grid[1]) for node in walk]
        points = [((left + right) / 2, (top + bottom) / 2) for left, top, right, bottom in boxes]
        for color, width in ((_INK, 2 * line), (_LINE, line)):
            draw.line(points, color, width, joint="curve")
        (x, y), size = points[0], 2.5 * line
        draw.ellipse((x - size, y - size, x + size, y + size), _START, _INK)
    return page


def draw_table(rows: Sequence[tuple[str, str]], size: tuple[int, int]) -> Image.Image:
    """Names and numbers in two columns on a page of this size, as many rows as fit."""
    page = Image.new("RGB", size, _PAPER)
    step = max(10, min(size) // 14)
    font, draw = ImageFont.load_default(round(0.7 * step)), ImageDraw.Draw(page)
    fit = max(1, size[1] // step)
    more = [(f"… {len(rows) - fit + 1} more", "")] if len(rows) > fit else []
    for at, (name, number) in enumerate([*rows[: fit - len(more)], *more]):
        draw.text((0, at * step), name, _INK, font)
        draw.text((size[0], at * step), number, _INK, font, anchor="ra")
    return page


def block_box(picture: Image.Image, grid: tuple[int, int], row: int, column: int) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of a block in pixels."""
    xs = np.linspace(0, picture.width, grid[1] + 1).round().astype(int)
    ys = np.linspace(0, picture.height, grid[0] + 1).round().astype(int)
    return int(xs[column]), int(ys[row]), int(xs[column + 1]), int(ys[row + 1])


def thickness(picture: Image.Image) -> int:
    """Of a line that is seen at the picture's size, in pixels."""
    return max(1, min(picture.size) // 100)
