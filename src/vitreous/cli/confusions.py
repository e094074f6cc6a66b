"""Confusions as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["confusion_lines"]

_MATRIX, _NAME, _OTHERS = 30, 24, 3


def confusion_lines(counts: Tensor, names: Sequence[str]) -> Iterator[str]:
    """A line per class: its number and name, its pictures, its recall, and how many were taken for each class.

    Of more than thirty classes, those that have pictures, and the three that each was most often taken for.

    Args:
        counts: (classes, classes), rows are the true classes.
        names: of the classes.
    """
    wide = min(_NAME, max(map(len, ("class", *names))))
    small = len(names) <= _MATRIX
    cell = max(3, len(str(int(counts.max()))) + 1)
    columns = "".join(f"{at:>{cell}}" for at in range(len(names))) if small else "  most often taken for"
    yield f"{'':>4} {'class':<{wide}}  pictures  recall {'as' if small else ''}{columns}"
    for at, (name, row) in enumerate(zip(names, counts.tolist(), strict=True)):
        if not small and not sum(row):
            continue
        recall = f"{row[at] / sum(row):.1%}" if sum(row) else "–"
        taken = "".join(f"{count or '·':>{cell}}" for count in row) if small else f"  {_mistaken(row, at, names)}"
        yield f"{at:>4} {_short(name, wide):<{wide}}  {sum(row):>8}  {recall:>6} {'  ' if small else ''}{taken}"


def _mistaken(row: Sequence[int], own: int, names: Sequence[str]) -> str:
    others = sorted((at for at, count in enumerate(row) if count and at != own), key=lambda at: -row[at])
    return ", ".join(f"{_short(names[at], _NAME)} {row[at]}" for at in others[:_OTHERS])


def _short(name: str, wide: int) -> str:
    return name if len(name) <= wide else f"{name[: wide - 1]}…"
