"""A picture with a line under it that says what it is."""

from __future__ import annotations

from PIL import Image

from vitreous.render.letters import length_of, write

__all__ = ["labelled"]

_LEAST, _SHARE, _INK, _PAPER = 10, 28, "#ffffff", "#16181d"


def labelled(picture: Image.Image, text: str) -> Image.Image:
    """The picture, and under it the text, as many lines as it takes; nothing of the picture is covered."""
    size = max(picture.width // _SHARE, _LEAST)
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        fits = length_of(longer, size) <= picture.width - size
        lines = [*lines[:-1], longer] if fits or not lines[-1] else [*lines, word]
    height = size + len(lines) * size * 5 // 4
    page = Image.new("RGB", (picture.width, picture.height + height), _PAPER)
    page.paste(picture.convert("RGB"))
    for at, line in enumerate(lines):
        write(page, (size // 2, picture.height + size // 2 + at * size * 5 // 4), line, _INK, size)
    return page
