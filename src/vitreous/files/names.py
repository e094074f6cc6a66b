"""Names of any origin, as a terminal and a text can take them."""

from __future__ import annotations

import unicodedata

__all__ = ["printable"]

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


def _is_unseen(each: str) -> bool:
    return each in _TURNING or unicodedata.category(each) in _UNSEEN


def _written_out(each: str) -> str:
    number = ord(each)
    if 0xDC80 <= number <= 0xDCFF:  # how Python keeps a byte of a name that is no text
        number -= 0xDC00
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
