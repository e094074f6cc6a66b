"""Names of any origin, as a terminal and a text can take them."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

__all__ = ["printable", "told_without_folders"]

_UNSEEN = {"Cc", "Cs", "Zl", "Zp"}  # control, halves of surrogates (bytes that are no text), separators of lines
_TURNING = set("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str) -> str:
    r"""The text in one line, with everything written out that a terminal would obey, or that is no text.

    >>> print(printable("caf\udce9\x1b[2J\u202egpj\n.exe"))
    caf\xe9\x1b[2J\u202egpj\x0a.exe
    """
    if text.isprintable():
        return text
    return "".join(_written_out(each) if _is_unseen(each) else each for each in text)


def told_without_folders(message: str) -> str:
    """What an error says, with of every absolute path in it but the last part: for pages that others read.

    >>> told_without_folders("`/home/ada/cat.png` is no picture. Open `cats/1.png`.")
    '`cat.png` is no picture. Open `cats/1.png`.'
    """
    paths = [each for each in re.findall("`([^`]+)`", message) if Path(each).is_absolute()]
    for path in paths:
        message = message.replace(f"`{path}`", f"`{Path(path).name}`")
    return message


def _is_unseen(each: str) -> bool:
    return each in _TURNING or unicodedata.category(each) in _UNSEEN


def _written_out(each: str) -> str:
    number = ord(each)
    if 0xDC80 <= number <= 0xDCFF:  # how Python keeps a byte of a name that is no text
        number -= 0xDC00
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
