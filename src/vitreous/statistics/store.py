"""Results on disk: Parquet files that are only ever added to, and read together."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from vitreous.errors import DataError, MissingExtra
from vitreous.files.writing import check_writable, whole_file

__all__ = ["RESULTS", "Key", "Record", "Store", "done"]

RESULTS = "results"
"""The folder of the files."""


class Key(NamedTuple):
    """What a value is about. An empty metric is the run itself, an empty method the model alone."""

    model: str
    method: str
    metric: str


@dataclass(frozen=True)
class Record:
    """One value of one picture, or why there is none.

    Attributes:
        model: spec.
        method: row of the table.
        metric: row of the plan.
        picture: its id.
        name: of the value, among those that the metric gives.
        values: its numbers, flat.
        counted: whether it enters the means.
        error: why there are no numbers.
        passing: whether the picture is to be tried again, as when memory ran out.
    """

    model: str
    method: str
    metric: str
    picture: str
    name: str = ""
    values: Sequence[float] = ()
    counted: bool = True
    error: str = ""
    passing: bool = False


@dataclass(frozen=True)
class Store:
    """A folder of results.

    Attributes:
        folder: where results/*.parquet are.
    """

    folder: Path

    def __post_init__(self) -> None:
        _arrow()

    def add(self, records: Sequence[Record]) -> None:
        """Write them into a file of their own.

        Raises:
            DataError: the disk says no.
        """
        pyarrow, parquet = _arrow()
        files = self._files
        number = int(files[-1].stem.partition("-")[0]) + 1 if files else 0
        # with the process in its name, so that two runs at once do not take each other's places
        path = self.folder / RESULTS / f"{number:06d}-{os.getpid()}.parquet"
        rows = [asdict(record) for record in records]
        columns = {name: [row[name] for row in rows] for name in Record.__dataclass_fields__}
        check_writable(path.parent)
        with whole_file(path) as part:
            parquet.write_table(pyarrow.table(columns, schema=_schema()), part, compression="zstd")

    def read(self) -> dict[Key, list[Record]]:
        """Everything so far.

        Raises:
            DataError: a file is damaged.
        """
        pyarrow, parquet = _arrow()
        found: defaultdict[Key, list[Record]] = defaultdict(list)
        for file in self._files:
            try:
                table = parquet.read_table(file)
                _check_columns(table, _schema())
                records = [Record(**row) for row in table.to_pylist()]
            except (OSError, pyarrow.ArrowException, ValueError, TypeError) as error:
                raise DataError(f"`{file}` cannot be read: {error}. Delete it; its pictures are done again.") from None
            for record in records:
                found[Key(record.model, record.method, record.metric)].append(record)
        return dict(found)

    @property
    def _files(self) -> list[Path]:
        return sorted((self.folder / RESULTS).glob("[0-9]*.parquet"))


def done(records: Iterable[Record]) -> set[str]:
    """The pictures that these are about, but for those to be tried again."""
    return {record.picture for record in records if not record.passing}


def _schema() -> Any:
    pyarrow, _ = _arrow()
    types = {"values": pyarrow.list_(pyarrow.float64()), "counted": pyarrow.bool_(), "passing": pyarrow.bool_()}
    return pyarrow.schema([(name, types.get(name, pyarrow.string())) for name in Record.__dataclass_fields__])


def _check_columns(table: Any, schema: Any) -> None:
    """Refuse columns of other types than those that are written, and rows without a value.

    Raises:
        ValueError: so it is.
    """
    for name, column in zip(table.column_names, table.columns, strict=True):
        expected = schema.field(name).type if name in schema.names else None
        if column.type != expected or column.null_count:
            raise ValueError(f"the column `{name}` is {column.type} with {column.null_count} rows without a value")


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("pyarrow", "benchmark") from None
    return pyarrow, parquet
