"""How far two results of one run lie apart."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import DataError
from vitreous.files.arrays import open_arrays
from vitreous.files.reading import read_bytes
from vitreous.models.tensors import read_tensors
from vitreous.statistics.store import Key, Record

__all__ = [
    "Compared",
    "compare_arrays",
    "compare_columns",
    "compare_files",
    "compare_records",
    "compare_tables",
    "compare_values",
]

_TIMES = ("seconds",)
"""What is never the same twice."""
_SAID = "about.npy"
"""Of an archive of maps, what made them: said in words, and no result."""
_REMEDY = "It cannot be compared."


@dataclass(frozen=True)
class Compared:
    """One part of a result, and how far it is from what it was.

    Attributes:
        what: the picture, or the model and row of a table.
        apart: the largest difference, over the largest value that there was: 0 where all is the same to the bit,
            infinite where something is there only once.
        reason: why nothing could be compared, or what differs.
        rows: that the part stands for.
        alike: how many of them are the same to the bit, where the part is not.
    """

    what: str
    apart: float
    reason: str = ""
    rows: int = 1
    alike: int = 0

    @property
    def same(self) -> int:
        """How many rows are the same to the bit."""
        return self.alike if self.apart else self.rows

    def __str__(self) -> str:
        if not self.apart:
            return f"{self.what}: the same to the bit"
        if self.reason or math.isfinite(self.apart):
            return f"{self.what}: {self.reason or f'differs by {self.apart:.2g} of the largest value'}"
        return f"{self.what}: differs, and by no share of what was there: all of that is 0, or of another kind or size"


def compare_files(what: str, old: Path, new: Path) -> Compared:
    """Two archives of arrays, or two files of tensors."""
    try:
        before, after = _arrays(old), _arrays(new)
    except DataError as error:
        return Compared(what, math.inf, str(error))
    if missing := sorted(before.keys() ^ after.keys()):
        return Compared(what, math.inf, f"{', '.join(missing)} is there only once")
    return Compared(what, max((compare_arrays(before[name], after[name]) for name in before), default=math.inf))


def compare_arrays(old: NDArray[Any], new: NDArray[Any]) -> float:
    """The largest difference over the largest value of the first; infinite where the shapes differ.

    >>> compare_arrays(np.array([1.0, 4.0]), np.array([1.0, 3.0]))
    0.25
    """
    if old.shape != new.shape or old.dtype != new.dtype:
        return math.inf
    if np.array_equal(old, new, equal_nan=old.dtype.kind == "f"):
        return 0.0
    if old.dtype.kind not in "biuf":
        return math.inf
    before, after = old.astype(np.float64), new.astype(np.float64)
    apart = np.where(np.isnan(before) & np.isnan(after), 0, np.abs(before - after)).max().item()
    largest = np.abs(before[~np.isnan(before)]).max(initial=0).item()
    return apart / largest if largest and math.isfinite(apart) else math.inf


def compare_tables(what: str, old: Path, new: Path) -> Compared:
    """Two CSV files: columns of numbers, each by its largest value, and of words, which are the same or are not."""
    try:
        before, after = _columns(old), _columns(new)
    except DataError as error:
        return Compared(what, math.inf, str(error))
    return compare_columns(what, before, after)


def compare_columns(what: str, old: Mapping[str, Sequence[Any]], new: Mapping[str, Sequence[Any]]) -> Compared:
    """Columns of numbers, each by its largest value, and of words, which are the same or are not.

    >>> str(compare_columns("it", {"score": [0.5, 1.0]}, {"score": [0.5, 0.75]}))
    'it: differs by 0.25 of the largest value'
    """
    if old.keys() != new.keys() or any(len(column) != len(new[name]) for name, column in old.items()):
        return Compared(what, math.inf, "it has other rows or columns")
    apart, words = 0.0, list[str]()
    for name, column in old.items():
        try:
            apart = max(apart, compare_arrays(_numbers(column), _numbers(new[name])))
        except ValueError:  # no numbers
            words += [name] if column != new[name] else []
    if not words:
        return Compared(what, apart)
    share = f" by {apart:.2g} of the largest value" if math.isfinite(apart) else ""
    numbers = f"numbers differ{share}, and " if apart else ""
    return Compared(what, apart or math.inf, f"{numbers}{', '.join(words)} reads otherwise")


def compare_values(what: str, old: Any, new: Any) -> Compared:
    """A number or None, or lists of numbers, as JSON has them.

    >>> str(compare_values("explained", 0.5, 0.25)), str(compare_values("loss", None, 1.0))
    ('explained: differs by 0.5 of the largest value', 'loss: it was None, and is 1.0')
    >>> str(compare_values("dead", 0, 3)), str(compare_values("confusions", [0, 0], [0, 1]))[:20]
    ('dead: it was 0, and is 3', 'confusions: differs,')
    """
    if old == new:
        return Compared(what, 0.0)
    if old is None or new is None:
        return Compared(what, math.inf, f"it was {old}, and is {new}")
    before, after = (np.asarray(each, np.float64) for each in (old, new))
    apart = compare_arrays(before, after)
    if math.isfinite(apart) or before.ndim or after.ndim:
        return Compared(what, apart)
    return Compared(what, apart, f"it was {old}, and is {new}")


def compare_records(old: Mapping[Key, list[Record]], new: Mapping[Key, list[Record]]) -> list[Compared]:
    """The numbers of every model, row and metric, of the models and rows that the second has."""
    asked = {(key.model, key.method) for key in new}
    keys = sorted({*new, *(key for key in old if (key.model, key.method) in asked)})
    return [_compare_key(key, old.get(key, []), new.get(key, [])) for key in keys]


def _compare_key(key: Key, old: list[Record], new: list[Record]) -> Compared:
    what = ", ".join(filter(None, key)) or "predictions"
    before, after = (
        {(each.picture, each.name): each for each in records if each.name not in _TIMES} for records in (old, new)
    )
    if alone := len(before.keys() ^ after.keys()):
        return Compared(what, math.inf, f"{alone} values are there only once")
    largest = max((abs(value) for each in before.values() for value in each.values), default=0.0)
    apart = max((_apart(each, after[at]) for at, each in before.items()), default=0.0)
    return Compared(what, apart / largest if apart and largest else apart)


def _apart(old: Record, new: Record) -> float:
    if len(old.values) != len(new.values) or (old.error, old.counted) != (new.error, new.counted):
        return math.inf
    if np.array_equal(old.values, new.values, equal_nan=True):
        return 0.0
    apart = float(np.abs(np.subtract(old.values, new.values)).max())
    return apart if math.isfinite(apart) else math.inf


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    if path.suffix == ".safetensors":
        return {name: each.float().numpy() for name, each in read_tensors(path, _REMEDY, DataError).items()}
    with open_arrays(path, _REMEDY) as found:
        names = [name.removesuffix(".npy") for name in found.archive.namelist() if name != _SAID]
        return {name: found[name] for name in names}


def _columns(path: Path) -> dict[str, tuple[str, ...]]:
    try:
        head, *rows = csv.reader(StringIO(read_bytes(path, _REMEDY).decode("utf-8"), newline=""))
        return dict(zip(head, zip(*rows, strict=True) if rows else [()] * len(head), strict=True))
    except (ValueError, csv.Error) as error:
        raise DataError(f"`{path}` is no table: {error}. {_REMEDY}") from None


def _numbers(column: Sequence[Any]) -> NDArray[np.float64]:
    """What was not measured is NaN."""
    return np.array([math.nan if each in ("", None) else float(each) for each in column])
