"""A page is one file, and no text becomes markup."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from vitreous.render import page

EVIL = '<script>alert("&")</script>'


class Tags(HTMLParser):
    """Counts tags and collects texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_every_text_stays_a_text() -> None:
    parts = [
        page.heading(EVIL),
        page.paragraph(EVIL),
        page.items([EVIL]),
        page.table([[EVIL], [EVIL]]),
        page.curve(EVIL, [1.0, 2.0]),
        page.figure([Image.new("RGB", (2, 2))], EVIL),
    ]
    for text in (page.page(EVIL, parts), *parts):
        read = Tags(text)
        assert "script" not in read.tags
        assert any(EVIL in each for each in read.texts)


def test_a_picture_is_in_the_file_itself() -> None:
    shown = page.figure([Image.new("RGB", (6, 4), "red")], "red")
    encoded = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', shown)
    assert Image.open(io.BytesIO(base64.b64decode(encoded[0]))).size == (6, 4)
    assert "http" not in page.page("", [shown])


def test_cells_are_shaded_where_asked() -> None:
    read = re.findall(r"<td( style=[^>]*)?>([^<]*)</td>", page.table([["a", "b"], ["c", "d"]], {(1, 1): 0.5}))
    assert read == [("", "c"), (' style="background:rgb(194 55 139/0.50)"', "d")]


@pytest.mark.parametrize(
    ("values", "points"),
    [([1.0, 3.0, 2.0], "0.0,140.0 150.0,0.0 300.0,70.0"), ([5.0], "0.0,0.0"), ([2.0, 2.0], "0.0,0.0 300.0,0.0")],
)
def test_a_curve_runs_between_its_extremes(values: list[float], points: str) -> None:
    assert f'points="{points}"' in page.curve("loss", values)
