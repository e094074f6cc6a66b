"""Lines of text on pictures: every letter in a font that has it, or by its number in Unicode where none has."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

__all__ = ["NUMBERED", "length_of", "numbered", "write"]

NUMBERED = "[U+…] stands for letters that no font on this machine has"

_Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_OWN = ""
"""The font that comes along with Pillow, by its path."""
_KINDS = (".ttf", ".otf", ".ttc")
_FRAMES = "lastresort"
"""A font that draws a frame for every letter there is."""
_TRIED = 24
"""Size in pixels at which a letter is looked for."""
_NO_LETTER = "\uffff"
_KEPT = 1024
"""Lines of many sheets that are the same: so many lengths are kept."""
_ALIKE = {"×": "x", "−": "-"}


def write(page: Image.Image, at: tuple[int, int], text: str, color: str, size: int) -> None:
    """Write one line.

    Args:
        page: to write on.
        at: left and top, in pixels.
        text: any; what is between words becomes a space.
        color: of the letters.
        size: of the letters in pixels.
    """
    left, top = at
    draw, line = ImageDraw.Draw(page), top + _rise(_OWN, size)
    for words, path in _runs(_plain(text)):
        draw.text((left, line), words, color, _font(path, size), anchor="ls")
        left += _font(path, size).getlength(words)


@lru_cache(_KEPT)
def length_of(text: str, size: int) -> float:
    """How long the line is, in pixels."""
    return sum(_font(path, size).getlength(words) for words, path in _runs(_plain(text)))


def numbered(text: str) -> bool:
    """Whether letters of the text are written by their numbers."""
    return any(_where(letter) is None and _form(letter) is None for letter in _plain(text))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", " ".join(text.split()))


@cache
def _runs(text: str) -> Sequence[tuple[str, str]]:
    """The line as words and the path of their font: one font where one has all of it."""
    odd = [letter for letter in dict.fromkeys(text) if not _has(letter, _OWN)]
    if not odd:
        return [(text, _OWN)]
    for path in _others():
        if all(_has(letter, path) for letter in dict.fromkeys([*odd, *text])):
            return [(text, path)]
    return list(_by_letter(text))


def _by_letter(text: str) -> Iterator[tuple[str, str]]:
    for path, letters in groupby(text, _where):
        words = "".join(letters)
        if path is not None:
            yield words, path
            continue
        for known, same in groupby(words, lambda letter: _form(letter) is not None):
            shown = "".join(same)
            yield "".join(_form(each) or "" for each in shown) if known else _numbers(shown), _OWN


def _numbers(letters: str) -> str:
    """Letters by their numbers.

    >>> _numbers("猫犬")
    '[U+732B 72AC]'
    """
    return f"[U+{' '.join(f'{ord(each):04X}' for each in letters)}]"


def _where(letter: str) -> str | None:
    """The path of the first font that has a letter."""
    return next((path for path in (_OWN, *_others()) if _has(letter, path)), None)


def _form(letter: str) -> str | None:
    """What our own font has for a letter: it without accents, in small, or one that looks like it; None for none."""
    bare = "".join(each for each in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(each))
    forms = (bare, letter.casefold(), _ALIKE.get(letter, ""))
    return next((form for form in forms if form and all(_has(each, _OWN) for each in form)), None)


@cache
def _has(letter: str, path: str) -> bool:
    if letter.isspace():
        return True
    if unicodedata.category(letter) == "Cs":  # part of a name of a file that is no text
        return False
    return _drawn(letter, path) not in (b"", _drawn(_NO_LETTER, path))


@cache
def _drawn(letter: str, path: str) -> bytes:
    """What a font draws for a letter; nothing of one that cannot be read or set to a size."""
    try:
        font = _font(path, _TRIED)
        left, top, right, bottom = (round(edge) for edge in font.getbbox(letter))
        page = Image.new("L", (max(1, right - left), max(1, bottom - top)))
        ImageDraw.Draw(page).text((-left, -top), letter, 255, font)
    except (OSError, ValueError):
        return b""
    return f"{page.size}".encode() + page.tobytes() if page.getbbox() else b""


@cache
def _others() -> Sequence[str]:
    """The fonts of this machine, plain upright ones first."""
    found = [
        str(path)
        for folder in _folders()
        for path in folder.rglob("*")
        if path.suffix.lower() in _KINDS and not path.name.lower().startswith(_FRAMES)
    ]
    return sorted(found, key=lambda path: (_slanted(path), "sans" not in path.lower(), path))


def _slanted(path: str) -> bool:
    name = Path(path).stem.lower()
    return any(style in name for style in ("bold", "italic", "oblique", "light", "thin", "black", "condensed"))


def _folders() -> Sequence[Path]:
    """Where this system keeps fonts."""
    home = Path.home()
    if sys.platform == "win32":
        local = Path(os.environ.get("LOCALAPPDATA", home))
        return [Path(os.environ.get("WINDIR", "C:/Windows"), "Fonts"), local / "Microsoft" / "Windows" / "Fonts"]
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library" / "Fonts"]
    shared = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts")]
    return [*shared, home / ".local" / "share" / "fonts", home / ".fonts"]


def _rise(path: str, size: int) -> int:
    """How far the line that letters stand on lies below their top."""
    font = _font(path, size)
    return font.getmetrics()[0] if isinstance(font, ImageFont.FreeTypeFont) else size


@cache
def _font(path: str, size: int) -> _Font:
    return ImageFont.truetype(path, size) if path else ImageFont.load_default(size)
