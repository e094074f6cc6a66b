"""Files of any kind that a run has written, compared with those that it writes again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vitreous.data.pictures import read_pixels
from vitreous.errors import DataError
from vitreous.files.reading import read_bytes, read_json
from vitreous.medical.dicom import stored_values
from vitreous.reproducing.compare import Compared, compare_arrays, compare_columns, compare_tables

__all__ = ["compare_trees", "compare_written"]

_PICTURES = (".png", ".tiff", ".jpg", ".jpeg", ".webp", ".bmp")
_READERS = {**dict.fromkeys(_PICTURES, read_pixels), ".dcm": stored_values}
"""By suffix, what reads the pixels alone: DICOM also says when it was made."""
_REMEDY = "It cannot be compared."


def compare_written(what: str, old: Path, new: Path) -> Compared:
    """Two files: numbers of tables and JSON, pixels of pictures and of DICOM, and all others by their bytes."""
    try:
        before, after = read_bytes(old, _REMEDY), read_bytes(new, _REMEDY)
        if before == after:
            return Compared(what, 0.0)
        if new.suffix == ".csv":
            return compare_tables(what, old, new)
        if new.suffix == ".json":
            return compare_trees(what, read_json(old, _REMEDY), read_json(new, _REMEDY))
        if read := _READERS.get(new.suffix):
            return Compared(what, compare_arrays(read(before, f"`{old}`"), read(after, f"`{new}`")))
    except DataError as error:
        return Compared(what, math.inf, str(error))
    return Compared(what, math.inf, "its bytes are others")


def compare_trees(what: str, old: Any, new: Any) -> Compared:
    """Values as JSON has them, as columns: what stands under the same names, wherever it stands in lists.

    >>> before, after = ({"objects": [{"score": 0.5}, {"score": each}]} for each in (1.0, 0.75))
    >>> str(compare_trees("it", before, after))
    'it: differs by 0.25 of the largest value'
    """
    return compare_columns(what, _columns(old), _columns(new))


def _columns(values: Any) -> Mapping[str, Sequence[Any]]:
    found: dict[str, list[Any]] = {}
    todo = [("", values)]
    while todo:  # no recursion: a file may be nested deeper than Python calls itself
        place, value = todo.pop()
        if isinstance(value, dict):
            todo += [(f"{place}.{name}".lstrip("."), each) for name, each in value.items()]
        elif isinstance(value, list):
            todo += [(place, each) for each in value]
        else:
            found.setdefault(place, []).append(value)
    return found
