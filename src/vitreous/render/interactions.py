"""Interactions of patches, drawn: what one patch looks at, where all lean, windows and removed patches."""

from __future__ import annotations

import colorsys
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image, ImageDraw

from vitreous.render.blocks import block_box, thickness
from vitreous.render.colormap import colorize

__all__ = [
    "draw_arrows",
    "draw_flow",
    "draw_patches",
    "draw_query",
    "draw_removed",
    "draw_windows",
    "flow_colors",
]

_QUERY, _OUTLINE, _SHADE, _ARROW = "#ffe600", "#ffffff", "#16181d", "#ffe600"
_WINDOWS = ("#ffe600", "#4cc9f0", "#f72585", "#80ed99", "#ff9f1c")


def draw_patches(
    picture: Image.Image, values: Float[np.ndarray, "h w"], *, alpha: float = 0.6, most: float | None = None
) -> Image.Image:
    """A number per patch over the picture, each patch of one color: 0 is low; the largest, or `most`, is high."""
    colors = colorize(np.clip(values / (most or values.max() or 1), 0, 1))
    return Image.blend(picture, Image.fromarray(_enlarged(colors, picture)), alpha)


def draw_query(
    picture: Image.Image,
    values: Float[np.ndarray, "h w"],
    query: tuple[int, int],
    field: Bool[np.ndarray, "h w"],
) -> Image.Image:
    """What one patch takes from each, its responsive field outlined in white and itself marked yellow.

    What it takes from itself, often the most by far, does not set the scale.
    """
    others = np.delete(values, query[0] * values.shape[1] + query[1])
    page = draw_patches(picture, values, most=float(others.max(initial=0)) or None)
    draw, line = ImageDraw.Draw(page), thickness(picture)
    for edge in _outline(page, field):
        draw.line(edge, _SHADE, 3 * line)
    for edge in _outline(page, field):
        draw.line(edge, _OUTLINE, line)
    _mark(page, query, values.shape, _QUERY)
    return page


def draw_arrows(picture: Image.Image, tendency: Float[np.ndarray, "h w 2"]) -> Image.Image:
    """An arrow from every patch towards the centroid of its responsive field; the longest is as long as a patch.

    Args:
        picture: RGB.
        tendency: rows and columns from the patch to the centroid, in patches.
    """
    page = Image.blend(picture, Image.new("RGB", picture.size, _SHADE), 0.45)
    draw, line = ImageDraw.Draw(page), thickness(picture)
    height, width = tendency.shape[:2]
    scale = np.array([picture.width / width, picture.height / height])
    longest = np.hypot(tendency[..., 0], tendency[..., 1]).max() or 1
    for row, column in np.ndindex(height, width):
        start = (np.array([column, row]) + 0.5) * scale
        way = tendency[row, column, ::-1] / longest * scale
        end, length = start + way, float(np.hypot(*way))
        draw.line([*start, *end], _ARROW, line)
        if length < line:
            continue
        along = way / length * min(length, 4 * line)
        across = along[::-1] * np.array([-0.5, 0.5])
        draw.polygon([tuple(end), tuple(end - along + across), tuple(end - along - across)], _ARROW)
    return page


def flow_colors(tendency: Float[np.ndarray, "h w 2"]) -> UInt8[np.ndarray, "h w 3"]:
    """Optical-flow colors: the hue is the direction, the saturation the length over the largest length.

    To the right is red, down yellow-green, left cyan, up violet; white is nowhere.

    >>> flow_colors(np.array([[[0.0, 1.0], [0.0, 0.0]]]))
    array([[[255,   0,   0],
            [255, 255, 255]]], dtype=uint8)
    """
    hues = np.arctan2(tendency[..., 0], tendency[..., 1]) / (2 * np.pi) % 1
    lengths = np.hypot(tendency[..., 0], tendency[..., 1])
    saturations = lengths / (lengths.max() or 1)
    colors = [colorsys.hsv_to_rgb(hue, s, 1) for hue, s in zip(hues.flat, saturations.flat, strict=True)]
    return np.rint(255 * np.array(colors)).astype(np.uint8).reshape(*hues.shape, 3)


def draw_flow(picture: Image.Image, tendency: Float[np.ndarray, "h w 2"]) -> Image.Image:
    """The tendency of every patch in optical-flow colors, over the picture; a wheel says what they mean."""
    page = Image.blend(picture, Image.fromarray(_enlarged(flow_colors(tendency), picture)), 0.75)
    wheel, disc = _wheel(max(9, min(picture.size) // 4))
    page.paste(wheel, (page.width - wheel.width, page.height - wheel.height), disc)
    return page


def _wheel(side: int) -> tuple[Image.Image, Image.Image]:
    """The color of every direction, seen from the middle, and where it is drawn: a disc with a dark rim."""
    offsets = np.linspace(-1, 1, side)
    down, across = np.meshgrid(offsets, offsets, indexing="ij")
    radius = np.hypot(down, across)
    inner = radius <= 0.9
    colors = flow_colors(np.where(inner[..., None], np.stack([down, across], -1), 0))
    colors[~inner] = (22, 24, 29)
    return Image.fromarray(colors), Image.fromarray(np.where(radius <= 1, 255, 0).astype(np.uint8))


def draw_windows(
    picture: Image.Image, windows: Int[np.ndarray, "h w 4"], queries: Iterable[tuple[int, int]]
) -> Image.Image:
    """The windows of some patches, each in a color of its own, the patch in a frame of the same.

    Args:
        picture: RGB.
        windows: of every patch: first row, last row, first column, last column, all inclusive.
        queries: (row, column) of the patches whose windows are drawn.
    """
    page = Image.blend(picture, Image.new("RGB", picture.size, _SHADE), 0.35)
    grid, draw, line = windows.shape[:2], ImageDraw.Draw(page), thickness(picture)
    for at, query in enumerate(queries):
        color = _WINDOWS[at % len(_WINDOWS)]
        top, bottom, left, right = (int(edge) for edge in windows[query])
        first, last = block_box(picture, grid, top, left), block_box(picture, grid, bottom, right)
        draw.rectangle((*first[:2], last[2] - 1, last[3] - 1), outline=color, width=2 * line)
        _mark(page, query, grid, color)
    return page


def draw_removed(picture: Image.Image, removed: Bool[np.ndarray, "h w"]) -> Image.Image:
    """The picture with the removed patches in grey."""
    grey = Image.blend(picture.convert("L").convert("RGB"), Image.new("RGB", picture.size, "#9aa0a6"), 0.75)
    mask = Image.fromarray(_enlarged(np.where(removed, 255, 0).astype(np.uint8), picture))
    return Image.composite(grey, picture, mask)


def _enlarged(patches: np.ndarray, picture: Image.Image) -> np.ndarray:
    """One value per pixel, from one per patch, on the boxes of `block_box`."""
    height, width = patches.shape[:2]
    edges = [
        np.linspace(0, size, count + 1).round().astype(int)
        for size, count in ((picture.height, height), (picture.width, width))
    ]
    return patches.repeat(np.diff(edges[0]), 0).repeat(np.diff(edges[1]), 1)


def _outline(picture: Image.Image, field: Bool[np.ndarray, "h w"]) -> list[tuple[int, int, int, int]]:
    """The sides of patches between the field and what is not, as lines in pixels."""
    height, width = field.shape
    inside = np.pad(field, 1)
    edges: list[tuple[int, int, int, int]] = []
    for row, column in np.argwhere(field).tolist():
        left, top, right, bottom = block_box(picture, (height, width), row, column)
        right, bottom = min(right, picture.width - 1), min(bottom, picture.height - 1)
        sides = {
            (0, 1): (left, top, right, top),
            (2, 1): (left, bottom, right, bottom),
            (1, 0): (left, top, left, bottom),
            (1, 2): (right, top, right, bottom),
        }
        edges += [side for (down, across), side in sides.items() if not inside[row + down, column + across]]
    return edges


def _mark(page: Image.Image, query: tuple[int, int], grid: tuple[int, ...], color: str) -> None:
    """A frame on one patch."""
    left, top, right, bottom = block_box(page, (grid[0], grid[1]), *query)
    ImageDraw.Draw(page).rectangle((left, top, right - 1, bottom - 1), outline=color, width=2 * thickness(page))
