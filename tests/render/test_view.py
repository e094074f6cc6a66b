"""A whole picture and the part that a model saw: where it lies, however it is shown."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.tiny import noise
from vitreous.render.view import View

PICTURE = noise(3, (40, 30))


@pytest.mark.parametrize("box", [(5, 0, 35, 30), (0, 0, 40, 30), (-5, -10, 45, 40), (38, 2, 50, 14)])
def test_the_marked_part_lies_where_it_was(box: tuple[int, int, int, int]) -> None:
    view = View(PICTURE, box)
    shown, whole = np.asarray(view.marked()).astype(int), np.asarray(PICTURE).astype(int)
    left, top, right, bottom = view.inside
    inner = slice(top + 2, bottom - 2), slice(left + 2, right - 2)  # within the frame
    assert (shown[inner] == whole[inner]).all()
    outside = np.ones(whole.shape[:2], bool)
    outside[top:bottom, left:right] = False
    assert (shown[outside] >= whole[outside]).all(), "paler"
    assert view.is_whole == (not outside.any())
    assert np.array_equal(shown, whole) == view.is_whole, "a frame only where something lies outside"


def test_something_else_may_stand_in_the_part() -> None:
    view = View(PICTURE, (-5, 0, 35, 30))
    red = Image.new("RGB", view.part.size, "red")
    shown = np.asarray(view.marked(red))
    assert (shown[2:-2, 2:33] == (255, 0, 0)).all()
    assert (shown[:, 35:, 1] > 0).any()


def test_a_smaller_view_has_the_same_box() -> None:
    view = View(noise(1, (400, 100)), (150, 0, 250, 100)).shrunk(40)
    assert (view.whole.size, view.box) == ((40, 10), (15, 0, 25, 10))
    assert View(noise(1, (400, 3)), (0, 0, 3, 3)).shrunk(40).box == (0, 0, 1, 1)
    assert View(noise(1, (4000, 3)), (3997, 0, 4000, 3)).shrunk(40).box == (39, 0, 40, 1)
    assert View(PICTURE, (1, 2, 3, 4)).shrunk(400).whole.size == PICTURE.size, "never larger"
