"""What is written is what other programs read, pixel by pixel."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitreous.render.png import write_png
from vitreous.render.sheet import Panel, save_page, sheet


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


PAGES = {
    "one pixel": noise(1, 1),
    "one row": noise(300, 1),
    "one column": noise(1, 300),
    "noise": noise(65, 33),
    "one color": Image.new("RGB", (640, 480), "#16181d"),
    "sheet": sheet([Panel("one", noise(320, 200)), Panel("two", None)], title="Löwe, 猫", subtitle="a · b"),
}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_pixels_come_back(page: Image.Image) -> None:
    file = BytesIO()
    write_png(page, file)
    read = Image.open(BytesIO(file.getvalue()))
    read.verify()  # the checksums
    read = Image.open(BytesIO(file.getvalue()))
    assert (read.format, read.mode, read.size) == ("PNG", "RGB", page.size)
    assert read.tobytes() == page.tobytes()


@pytest.mark.parametrize("suffix", ["png", "PNG", "webp", "jpg", "bmp"])
def test_the_suffix_is_the_format(suffix: str, tmp_path: Path) -> None:
    page, file = PAGES["sheet"], tmp_path / f"page.{suffix}"
    save_page(page, file)
    with Image.open(file) as read:
        assert read.format == {"jpg": "JPEG"}.get(suffix, suffix.upper())
        assert read.size == page.size
        assert suffix in ("webp", "jpg") or read.tobytes() == page.tobytes()


def test_a_kind_needs_no_suffix() -> None:
    file = BytesIO()
    save_page(PAGES["noise"], file, "png")
    assert file.getvalue().startswith(b"\x89PNG")


def test_what_is_the_same_is_packed() -> None:
    file = BytesIO()
    write_png(PAGES["one color"], file)
    assert len(file.getvalue()) < PAGES["one color"].width * PAGES["one color"].height * 3 / 100
