"""One frame or slice of a medical file, as gray values with how they are meant to be seen; and how it is named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import DataError

__all__ = ["MAX_PIXELS", "NOT_FOR_DIAGNOSIS", "Scan", "asked_places", "check_size", "whole_range"]

NOT_FOR_DIAGNOSIS = "Research, not for diagnosis. Not a medical device."
"""On all that shows a medical picture."""
MAX_PIXELS = 100_000_000
"""Of one frame; larger ones are refused before they are decoded."""


@dataclass(frozen=True)
class Scan:
    """A frame or slice.

    Attributes:
        values: (height, width) numbers, NaN where there is nothing; or (height, width, 3) colors of 8 bits.
        window: the values that the file means to be black and white; None where it says nothing.
        inverted: whether the lowest value is meant to be white.
        told: how its window was found, where that should be known; empty for nothing to tell.
        warned: what should be known whatever the window.
    """

    values: NDArray[Any]
    window: tuple[float, float] | None = None
    inverted: bool = False
    told: str = ""
    warned: str = ""


def asked_places(asked: str, count: int, first: int, name: str) -> Sequence[int]:
    """The places that a number or a range FIRST:END names, END left out; all for nothing.

    Args:
        asked: such as "7", "10:30", "::4", or nothing.
        count: how many there are.
        first: how the first of them is called, 0 or 1.
        name: of the file, for messages.

    Raises:
        DataError: it is no such thing, or names none.

    >>> list(asked_places("10:20:5", 64, 0, "`ct.nii`"))
    [10, 15]
    """
    parts = asked.split(":")
    if len(parts) > 3 or not all(re.fullmatch(r"\d{0,9}", part) for part in parts) or parts[2:] == ["0"]:
        raise DataError(f"{name} has no place `{asked}`. Name a number, or a range such as {first}:{first + count}.")
    numbers = range(first, first + count)
    if len(parts) == 1 and asked:
        found: Sequence[int] = [int(asked)] if int(asked) in numbers else []
    else:
        low, high, step = (int(part) if part else None for part in (*parts, "", "")[:3])
        start, end = (None if each is None else max(each - first, 0) for each in (low, high))
        found = numbers[start:end:step]
    if not found:
        raise DataError(f"{name} has the places {first} to {first + count - 1}, and not {asked}. Name others.")
    return found


def check_size(height: int, width: int, name: str, most: int = MAX_PIXELS) -> None:
    """Refuse what nobody wants decoded.

    Raises:
        DataError: it has no pixel, or too many.
    """
    if not 0 < height * width <= most:
        raise DataError(f"{name} says that it has {width}×{height} pixels; 1 to {most:,} are read. Export it again.")


def whole_range(values: NDArray[Any]) -> tuple[float, float]:
    """The lowest and highest of the finite values; one apart where all are alike.

    >>> whole_range(np.array([3.0, np.nan, 5.0]))
    (3.0, 5.0)
    """
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return low, high if high > low else low + 1
