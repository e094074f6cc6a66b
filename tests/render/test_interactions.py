from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.tiny import noise
from vitreous.render.colormap import colorize
from vitreous.render.interactions import (
    draw_arrows,
    draw_flow,
    draw_patches,
    draw_query,
    draw_removed,
    draw_windows,
    flow_colors,
)

GREY = Image.new("RGB", (80, 40), "#808080")
TENDENCY = np.zeros((2, 4, 2))
TENDENCY[0, 0] = (0, 2)


def pixel(picture: Image.Image, x: int, y: int) -> tuple[int, ...]:
    return tuple(np.asarray(picture)[y, x].tolist())


@pytest.mark.parametrize("size", [(80, 40), (33, 7), (320, 211)])
def test_everything_has_the_pictures_size_and_leaves_it_alone(size: tuple[int, int]) -> None:
    picture = noise(0, size)
    before = picture.tobytes()
    values, field = np.random.default_rng(0).random((3, 5)), np.eye(3, 5, dtype=bool)
    windows = np.broadcast_to(np.array([0, 2, 1, 3]), (3, 5, 4))
    tendency = np.random.default_rng(1).normal(size=(3, 5, 2))
    for drawn in (
        draw_patches(picture, values),
        draw_query(picture, values, (2, 4), field),
        draw_arrows(picture, tendency),
        draw_flow(picture, tendency),
        draw_windows(picture, windows, [(0, 0), (2, 4)]),
        draw_removed(picture, field),
    ):
        assert drawn.size == size
        assert drawn.tobytes() != before
    assert picture.tobytes() == before


def test_patches_have_the_color_of_their_value() -> None:
    values = np.array([[0.0, 1.0, 2.0, 4.0], [4.0, 4.0, 0.0, 0.0]])
    drawn = draw_patches(GREY, values, alpha=1.0)
    for x, y, value in ((10, 10, 0.0), (30, 10, 0.25), (70, 10, 1.0), (19, 20, 1.0), (59, 39, 0.0)):
        assert pixel(drawn, x, y) == tuple(colorize(np.array([[value]]))[0, 0].tolist())
    assert draw_patches(GREY, np.zeros((2, 4))).size == GREY.size


def test_the_query_is_yellow_and_its_field_outlined() -> None:
    field = np.zeros((2, 4), dtype=bool)
    field[0, 1:3] = True
    drawn = draw_query(GREY, np.ones((2, 4)), (1, 3), field)
    assert pixel(drawn, 60, 30) == (255, 230, 0)
    assert pixel(drawn, 20, 10) == pixel(drawn, 60, 10) == pixel(drawn, 40, 20) == (255, 255, 255)
    assert pixel(drawn, 40, 10) != (255, 255, 255), "no line inside the field"


def test_flow_colors_tell_directions() -> None:
    ways = {(0, 1): (255, 0, 0), (1, 0): (128, 255, 0), (0, -1): (0, 255, 255), (-1, 0): (128, 0, 255)}
    for way, color in ways.items():
        found = flow_colors(np.array([[way, (0, 0)]], dtype=float))
        assert tuple(found[0, 0].tolist()) == color
        assert tuple(found[0, 1].tolist()) == (255, 255, 255)
    assert (flow_colors(np.zeros((2, 2, 2))) == 255).all()


def test_arrows_point_the_way() -> None:
    drawn = np.asarray(draw_arrows(GREY, TENDENCY))
    yellow = np.argwhere((drawn == (255, 230, 0)).all(-1))
    tip = yellow[(yellow[:, 0] < 20) & (yellow[:, 1] < 40)]
    assert tip[:, 1].min() == 10
    assert tip[:, 1].max() == 30, "one patch long"


def test_windows_are_drawn_where_they_are() -> None:
    windows = np.zeros((2, 4, 4), dtype=int)
    windows[0, 1] = (0, 1, 1, 2)
    drawn = draw_windows(GREY, windows, [(0, 1)])
    assert pixel(drawn, 20, 39) == pixel(drawn, 59, 39) == (255, 230, 0)
    assert pixel(drawn, 70, 30) != (255, 230, 0)


def test_removed_patches_lose_their_color() -> None:
    red = Image.new("RGB", (80, 40), "#ff0000")
    drawn = draw_removed(red, np.arange(8).reshape(2, 4) < 2)
    assert pixel(drawn, 39, 19) != (255, 0, 0)
    assert pixel(drawn, 40, 19) == pixel(drawn, 10, 20) == (255, 0, 0)


def test_the_wheel_has_the_color_of_each_direction() -> None:
    flat = np.zeros((4, 4, 2))
    page = np.asarray(draw_flow(Image.new("RGB", (80, 80), "white"), flat)).astype(int)
    right, left = page[70, 76], page[70, 63]
    assert right[0] > right[2], "red is to the right"
    assert left[2] > left[0], "cyan is to the left"
    assert (page[:40] == 255).all(), "nothing leans anywhere"


def test_what_a_patch_takes_from_itself_does_not_set_the_scale() -> None:
    values = np.array([[100.0, 1.0], [0.5, 0.0]])
    field = np.zeros((2, 2), bool)
    shown = np.asarray(draw_query(Image.new("RGB", (40, 40)), values, (0, 0), field)).astype(int)
    assert (
        shown[10, 30] == np.asarray(draw_patches(Image.new("RGB", (40, 40)), values / [[100, 1], [1, 1]]))[10, 30]
    ).all()
