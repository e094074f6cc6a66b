"""Every letter is drawn by a font that has it, or told by its number: never by a question mark."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from vitreous.render import letters
from vitreous.render.letters import length_of, numbered, write
from vitreous.render.sheet import Panel, sheet

DEJAVU = Path(mpl.get_data_path()) / "fonts" / "ttf"
"""Fonts that have Cyrillic letters, and no Chinese ones."""
CACHED = (letters._runs, letters._others)


@pytest.fixture
def fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Makes the fonts of these folders those of the machine."""

    def are(*folders: Path) -> None:
        monkeypatch.setattr(letters, "_folders", lambda: folders)
        for each in CACHED:
            each.cache_clear()

    yield are
    for each in CACHED:
        each.cache_clear()


def drawn(text: str) -> np.ndarray:
    page = Image.new("RGB", (400, 40), "white")
    write(page, (4, 4), text, "#000000", 20)
    return np.asarray(page)


def test_a_font_of_the_machine_draws_what_ours_has_not_got(fonts: Callable[..., None]) -> None:
    fonts(DEJAVU)
    page, ink = drawn("кошка"), 4 + length_of("кошка", 20)
    assert not numbered("кошка")
    dark = np.flatnonzero((page < 128).any(axis=(0, 2)))
    assert dark[0] >= 3
    assert ink - 6 < dark[-1] <= ink + 2
    assert not np.array_equal(page, drawn("кощка"))
    assert letters._others()[0].endswith("DejaVuSans.ttf"), "plain and upright"


def test_without_such_a_font_the_letters_numbers_are_drawn(fonts: Callable[..., None]) -> None:
    for folders in ((), (DEJAVU,)):
        fonts(*folders)
        assert numbered("a 猫犬.png")
        assert np.array_equal(drawn("a 猫犬.png"), drawn("a [U+732B 72AC].png"))
    assert np.array_equal(drawn("\udcff"), drawn("[U+DCFF]")), "a byte of a name that is no text"


def test_known_letters_lose_their_accents_rather(fonts: Callable[..., None]) -> None:
    fonts()
    assert np.array_equal(drawn("Lo\u0308we × großer"), drawn("Lowe x grosser"))
    assert not numbered("Löwe × großer?")


def test_a_sheet_says_what_the_numbers_are(fonts: Callable[..., None]) -> None:
    fonts()
    panel, plain = Panel("one", Image.new("RGB", (8, 8))), {"subtitle": "a cat", "foot": "foot"}
    known = sheet([panel], title="cat", **plain)
    assert sheet([panel], title="猫", **plain).height == known.height + 20
    assert sheet([Panel("猫", None)], title="cat", **plain).height == known.height + 20
