"""Gray pictures of more than 8 bits: which of their values is black, which is white, and what becomes of them."""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitreous.errors import DataError

__all__ = [
    "Window",
    "asked_window",
    "current",
    "deep",
    "range_told",
    "stated_white",
    "through",
    "to_eight_bits",
    "unused",
]

Window = tuple[float, float] | Literal["auto"] | None
"""The values that become black and white; "auto" for a picture's lowest and highest; None for what its file says."""

_WHITE = 65535
_BITS, _HIGHEST = 258, (281, 341)  # of TIFF: BitsPerSample; MaxSampleValue, SMaxSampleValue
_GIVE = "Give --window LOW,HIGH (pixel_window=(low, high) in Python), or auto for its own lowest and highest"


_CURRENT = ContextVar[Window]("window", default=None)


@contextmanager
def through(window: Window) -> Generator[None]:
    """Read gray pictures of more than 8 bits like this until the block ends, where nothing else is said of one."""
    token = _CURRENT.set(window)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def current(window: Window) -> Window:
    """The window that is asked for: this, or that of the block."""
    return _CURRENT.get() if window is None else window


def deep(picture: Image.Image) -> bool:
    """Whether its values are gray and need more than 8 bits."""
    return picture.mode.startswith("I") or picture.mode == "F"


def unused(window: Window, name: str) -> str:
    """What to say of a picture that no window applies to, where one was asked for."""
    asked = current(window)
    if asked is None:
        return ""
    shown = asked if isinstance(asked, str) else f"{asked[0]:g},{asked[1]:g}"
    return (
        f"{name} has no gray values of more than 8 bits, so the window {shown} does not apply: it is read as it is. "
        "Scale its values yourself where others were meant."
    )


def range_told(window: tuple[float, float]) -> str:
    """Which values are black and white, in words.

    >>> range_told((-160.0, 240.0))
    '-160 is black, 240 white'
    """
    return f"{window[0]:g} is black, {window[1]:g} white"


def asked_window(window: Any) -> Window:
    """A window as it was asked for: a pair, None, "auto", or "LOW,HIGH".

    Raises:
        DataError: it is none of these.

    >>> asked_window("0,4095")
    (0.0, 4095.0)
    """
    if window is None or window == "auto":
        return window
    try:
        low, high = (float(edge) for edge in (window.split(",") if isinstance(window, str) else window))
    except (TypeError, ValueError):
        low = high = 0.0
    if not -float("inf") < low < high < float("inf"):
        raise DataError(f"{window!r} is no window. Give two numbers LOW,HIGH, the lower one first, or 'auto'.")
    return low, high


def stated_white(picture: Image.Image, encoded: bytes) -> float | None:
    """The highest value that the file says there can be; None where it says nothing, or just 16 bits.

    A TIFF says it by its bits or its highest value. A PNG says by sBIT how many bits were significant; its values are
    then either as they were or, as the standard wants, scaled up to 16 bits: the values themselves show which.
    """
    if picture.format == "TIFF":
        tags: Any = getattr(picture, "tag_v2", {})
        said = [2**bits - 1 for bits in _numbers(tags.get(_BITS)) if 8 < bits < 16]
        said += [most for tag in _HIGHEST for most in _numbers(tags.get(tag)) if 255 < most < _WHITE]
        return float(min(said)) if said else None
    bits = next((body[0] for kind, body in _chunks(encoded) if kind == b"sBIT" and len(body) == 1), 16)
    if not 8 < bits < 16:
        return None
    values = np.asarray(picture)
    scaled = values.max() >= 2**bits or not (values % 2 ** (16 - bits)).any()
    return float(_WHITE if scaled else 2**bits - 1)


def to_eight_bits(
    values: NDArray[Any], window: Window, white: float | None, name: str
) -> tuple[NDArray[np.uint8], tuple[float, float], str]:
    """Gray values as 0 … 255, the window that it took, and a warning where nobody said it and it may be wrong.

    Raises:
        DataError: no window was given, and the values have none.
    """
    window = current(window)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    warning = ""
    if isinstance(window, tuple):
        black, top = window
    elif window == "auto":
        black, top = low, max(high, low + 1e-12)
    elif values.dtype.kind == "f":
        raise DataError(f"{name} has floating-point pixels, whose white is unknown. {_GIVE}.")
    elif low < 0 or high > _WHITE:
        raise DataError(f"{name} has gray values from {low:g} to {high:g}, outside 0 … {_WHITE}. {_GIVE}.")
    else:
        black, top = 0.0, white or _WHITE
        if white is None and 0 < high < 2**15:
            bits = max(int(high).bit_length(), 9)
            warning = (
                f"{name} has 16-bit gray values of at most {high:g}, which fill 0 … {255 * high / _WHITE:.0f} of 255. "
                f"{_GIVE}; its highest may be {2**bits - 1} ({bits} bits)."
            )
    scaled = (np.nan_to_num(values.astype(np.float64), nan=black) - black) * (255 / (top - black))
    return np.rint(scaled.clip(0, 255)).astype(np.uint8), (float(black), float(top)), warning


def _numbers(value: Any) -> list[int]:
    """A tag's numbers: one, or one per channel."""
    listed = value if isinstance(value, tuple) else (value,)
    return [int(number) for number in listed if isinstance(number, int | float)]


def _chunks(encoded: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG before its pixels."""
    at = 8
    while encoded.startswith(b"\x89PNG") and at + 8 <= len(encoded):
        length, kind = struct.unpack(">I4s", encoded[at : at + 8])
        if kind == b"IDAT":
            return
        yield kind, encoded[at + 8 : at + 8 + length]
        at += 12 + length
