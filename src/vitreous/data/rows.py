"""Tables with a heading."""

from __future__ import annotations

import csv
from collections import UserDict
from collections.abc import Iterator, Sequence

from vitreous.data.root import Root
from vitreous.errors import DataError
from vitreous.settings.typed import shown, typed
from vitreous.shapes import MOST_CLASSES

__all__ = ["Row", "read_rows"]


class Row(UserDict[str, str]):
    """A row of a table, which knows where it stands."""

    def __init__(self, values: dict[str, str], place: str) -> None:
        super().__init__(values)
        self.place = place

    def number(self, column: str) -> float:
        """The finite number in a column.

        Raises:
            DataError: it is none.
        """
        try:
            return typed(float, float(self[column]))
        except (TypeError, ValueError):
            raise DataError(f"`{column}` is {shown(self[column])} in {self.place}. Give a number.") from None

    def label(self, column: str) -> int:
        """The index of a class in a column: a whole number, also written as 7.0.

        Raises:
            DataError: it is none.
        """
        number = self.number(column)
        if not number.is_integer() or not 0 <= number < MOST_CLASSES:
            raise DataError(f"`{column}` is {shown(self[column])} in {self.place}. Give the index of a class, from 0.")
        return int(number)


def read_rows(root: Root, table: str, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of a CSV file.

    Raises:
        DataError: it is missing, lacks one of the columns, or a row is too short.
    """
    try:
        yield from _rows(root, table, columns)
    except csv.Error as error:
        raise DataError(f"`{table}` in `{root.path}` is no table: {error}. Export it again as CSV.") from None


def _rows(root: Root, table: str, columns: Sequence[str]) -> Iterator[Row]:
    reader = csv.DictReader(root.text(table).splitlines())
    if missing := [column for column in columns if column not in (reader.fieldnames or ())]:
        raise DataError(f"`{table}` in `{root.path}` has no column `{missing[0]}`. Give {', '.join(columns)}.")
    for at, row in enumerate(reader, start=2):
        place = f"row {at} of `{table}` in `{root.path}`"
        if any(row[column] is None for column in columns):
            raise DataError(f"{place} is too short. Give every column a value.")
        yield Row({name: value for name, value in row.items() if isinstance(value, str)}, place)
