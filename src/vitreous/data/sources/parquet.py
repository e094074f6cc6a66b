"""Pictures in a column of a Parquet file: the bytes of their files, or structs of these, as Hugging Face has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vitreous.data.sources.places import AGAIN, open_place
from vitreous.errors import DataError, MissingExtra, first_sentence

__all__ = ["count_rows", "read_rows"]

_USUAL, _BYTES = "image", "bytes"
_AT_ONCE = 32


def count_rows(place: str) -> int:
    """How many pictures are in the file.

    Raises:
        DataError, MissingExtra: it cannot be read, or has no column of pictures.
    """
    with open_place(place) as file:
        table = _open(file, place)
        _column(table.schema_arrow, place)
        return table.metadata.num_rows


def read_rows(place: str, first: int, count: int) -> Iterator[tuple[str, bytes | DataError]]:
    """The pictures of so many rows, by their number, or why there is none.

    Raises:
        DataError, MissingExtra: the file cannot be read.
    """
    with open_place(place) as file:
        table = _open(file, place)
        from pyarrow import ArrowException

        column = _column(table.schema_arrow, place)
        groups, above = _groups(table.metadata, first, count)
        at = above
        try:
            for batch in table.iter_batches(_AT_ONCE, groups, [column]):
                for value in batch.column(0):
                    if first <= at < first + count:
                        yield str(at), _bytes(value.as_py(), at, place)
                    at += 1
                if at >= first + count:
                    break
        except (OSError, ArrowException) as error:
            raise DataError(f"`{place}` cannot be read: {first_sentence(error)}. {AGAIN}") from None


def _groups(about: Any, first: int, count: int) -> tuple[list[int], int]:
    """The row groups that these rows lie in, and the number of their first row."""
    wanted: list[int] = []
    start = above = 0
    for group in range(about.num_row_groups):
        end = start + about.row_group(group).num_rows
        if start < first + count and end > first:
            above = above if wanted else start
            wanted.append(group)
        start = end
    return wanted, above


def _bytes(value: Any, at: int, place: str) -> bytes | DataError:
    found = value.get(_BYTES) if isinstance(value, dict) else value
    return found if isinstance(found, bytes) else DataError(f"row {at} of `{place}` holds no picture. Leave it out.")


def _open(file: Any, place: str) -> Any:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("pyarrow", "batch") from None
    try:
        return parquet.ParquetFile(file)
    except (OSError, pyarrow.ArrowException) as error:
        raise DataError(f"`{place}` is no Parquet file: {first_sentence(error)}. Copy or download it again.") from None


def _column(schema: Any, place: str) -> str:
    """The one that holds pictures."""
    from pyarrow import types

    def holds(kind: Any) -> bool:
        if types.is_struct(kind):
            return any(field.name == _BYTES and holds(field.type) for field in kind)
        if types.is_dictionary(kind):
            return holds(kind.value_type)
        return types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)

    found = [field.name for field in schema if holds(field.type)]
    if found.count(_USUAL) == 1:
        return _USUAL
    if len(found) != 1:
        shown = ", ".join(found) or "none"
        raise DataError(
            f"`{place}` has the columns {', '.join(schema.names)}; of these may hold pictures: {shown}. Call the one "
            f"that does `{_USUAL}`: the bytes of picture files, or structs with `{_BYTES}`."
        )
    return found[0]
