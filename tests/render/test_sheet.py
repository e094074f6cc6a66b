"""A sheet is a page: everything on it, nothing over the edge."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from vitreous.errors import ShapeError
from vitreous.render.overlay import Scale
from vitreous.render.sheet import PANEL, Panel, fit, sheet

RED = Image.new("RGB", (40, 40), "red")


def red_columns(page: Image.Image) -> int:
    """How many panels wide the red on a page is."""
    pixels = np.asarray(page).astype(int)
    red = (pixels[..., 0] > 250) & (pixels[..., 1] < 5) & (pixels[..., 2] < 5)
    return round(red.any(0).sum() / PANEL)


@pytest.mark.parametrize(("size", "shown"), [((40, 20), (320, 160)), ((900, 1800), (160, 320)), ((1, 5000), (1, 320))])
def test_fit_keeps_the_aspect(size: tuple[int, int], shown: tuple[int, int]) -> None:
    assert fit(Image.new("RGB", size)).size == shown


@pytest.mark.parametrize(("panels", "columns"), [(1, 1), (5, 5), (6, 3), (7, 4), (11, 4)])
def test_many_panels_wrap_into_even_rows(panels: int, columns: int) -> None:
    assert red_columns(sheet([Panel("", RED)] * panels, title="")) == columns


def test_columns_can_be_told() -> None:
    assert red_columns(sheet([Panel("", RED)] * 6, title="", columns=6)) == 6


def test_every_picture_is_whole_and_the_page_is_light() -> None:
    page = np.asarray(sheet([Panel("a", RED), Panel("b", RED)], title="t", subtitle="s")).astype(int)
    red = (page[..., 0] > 250) & (page[..., 1] < 5) & (page[..., 2] < 5)
    assert red.sum() == 2 * PANEL * PANEL
    edges = np.concatenate([page[0], page[-1], page[:, 0], page[:, -1]])
    assert (edges == 255).all()


def test_a_long_title_is_shortened_not_cut() -> None:
    long = sheet([Panel("p" * 300, RED, "c" * 300)], title="t" * 500, subtitle="s" * 500)
    assert long.width == sheet([Panel("", RED)], title="").width
    assert (np.asarray(long)[:, -40:] == 255).all()


@pytest.mark.parametrize("title", ["two\nlines\tand a tab", "lone surrogate \udcff", "猫 кошка 🐈", ""])
def test_any_title_can_be_written(title: str) -> None:
    assert sheet([Panel(title, RED, title)], title=title, subtitle=title)


def test_a_missing_picture_leaves_its_place() -> None:
    page = sheet([Panel("a", RED), Panel("b", None, "no map"), Panel("c", RED)], title="t")
    assert page.width == sheet([Panel("", RED)] * 3, title="t").width


def test_colors_and_shares_have_their_room() -> None:
    plain, scale = sheet([Panel("", RED)] * 2, title="t"), Scale(-1.0, 1.0, signed=True)
    page = sheet([Panel("", RED, scale=scale), Panel("", RED)], title="t", shares=[("cat · 34%", 0.34), ("dog", 0.3)])
    assert page.width == plain.width
    assert page.height > plain.height
    assert red_columns(page) == 2
    assert (np.asarray(page)[-1] == 255).all()


def test_no_panels() -> None:
    with pytest.raises(ShapeError, match="at least one panel"):
        sheet([], title="t")


def test_a_long_subtitle_goes_on_in_the_next_line() -> None:
    panel = [Panel("one", Image.new("RGB", (8, 8)))]
    short, long = (sheet(panel, title="t", subtitle=" · ".join(["a model of a long name"] * count)) for count in (2, 9))
    assert long.width == short.width
    assert long.height > short.height + 40


def test_a_long_name_leaves_its_share_to_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr("vitreous.render.sheet.write", lambda page, at, text, *_: written.append(text))
    sheet([Panel("", RED)], title="t", shares=[("x" * 500 + " · 34%", 0.34), ("dog" * 300, 0.3)])
    assert any(text.endswith("x… · 34%") for text in written)
    assert any(text.endswith("dog…") or text.endswith("do…") or text.endswith("d…") for text in written)
