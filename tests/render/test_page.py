"""A page is one file, and no text becomes markup."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from vitreous.errors import DataError
from vitreous.render import page
from vitreous.render.html import check_own_page, render

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
        page.facts([(EVIL, EVIL)]),
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
        assert EVIL in "".join(read.texts), "long words may be broken, and nothing else"


def test_a_picture_is_in_the_file_itself() -> None:
    shown = page.figure([Image.new("RGB", (6, 4), "red")], "red")
    encoded = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', shown)
    assert Image.open(io.BytesIO(base64.b64decode(encoded[0]))).size == (6, 4)
    assert "://" not in page.page("", [shown])


def test_a_chart_is_in_the_file_itself_and_says_what_it_is() -> None:
    tag = page.chart("<svg/>", 'what "it" is')
    assert base64.b64decode(re.findall(r"base64,([^\"]+)", tag)[0]) == b"<svg/>"
    assert 'alt="what &#34;it&#34; is"' in tag


def test_the_policy_names_all_that_is_inlined_by_its_hash() -> None:
    text = render("base.html", title="page", content=[], script="export const one = 1 < 2;")
    policy = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)[0]
    for tag in ("style", 'script type="module"'):
        inlined = re.findall(f"<{tag}>(.*?)</{tag.split()[0]}>", text, re.DOTALL)[0]
        assert f"sha256-{base64.b64encode(hashlib.sha256(inlined.encode()).digest()).decode()}" in policy
    assert "unsafe" not in policy
    assert " style=" not in text
    assert "script-src &#39;none&#39;" in page.page("no script", [])


def test_only_pages_of_ours_are_written_over(tmp_path: Path) -> None:
    own, mine = tmp_path / "own.html", tmp_path / "mine.html"
    own.write_text(page.page("own", []), encoding="utf-8")
    mine.write_text("the user's own")
    check_own_page(own)
    check_own_page(tmp_path / "none.html")
    with pytest.raises(DataError, match="is no page of vitreous"):
        check_own_page(mine)


def test_cells_are_shaded_where_asked() -> None:
    read = re.findall(r"<td( class=[^>]*)?>([^<]*)</td>", page.table([["a", "b"], ["c", "d"]], {(1, 1): 0.5}))
    assert read == [("", "c"), (' class="s5"', "d")]


@pytest.mark.parametrize(
    ("values", "points"),
    [([1.0, 3.0, 2.0], "0.0,180.0 190.0,0.0 380.0,90.0"), ([5.0], "0.0,0.0"), ([2.0, 2.0], "0.0,0.0 380.0,0.0")],
)
def test_a_curve_runs_between_its_extremes(values: list[float], points: str) -> None:
    assert f'points="{points}"' in page.curve("loss", values)
