"""A shard on disk: one Parquet file, whole or not there, whose footer says which plan it belongs to."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous.errors import DataError, MissingExtra
from vitreous.files.writing import whole_file
from vitreous.settings.typed import typed

__all__ = ["SHARDS", "Shard", "check_shards", "find_shard", "read_rows", "shard_path", "write_shard"]

SHARDS = "shards"
"""The folder of the files."""
_FOOTER = b"vitreous"


@dataclass(frozen=True)
class Shard:
    """What the footer of a file says.

    Attributes:
        plan: hash of what its rows depend on.
        number: of the shard.
        pictures: that it has rows of.
        failed: those of them that could not be explained.
    """

    plan: str
    number: int
    pictures: int
    failed: int


def shard_path(folder: Path, number: int) -> Path:
    """Where a shard lies."""
    return folder / SHARDS / f"part-{number:06d}.parquet"


def find_shard(folder: Path, number: int, plan: str) -> Shard | None:
    """What is in a shard's file; None where there is none, or not a whole one.

    Raises:
        DataError: it is of another plan.
    """
    pyarrow, parquet = _arrow()
    path = shard_path(folder, number)
    try:
        about = parquet.read_metadata(path).metadata or {}
        found: Shard = typed(Shard, json.loads(about[_FOOTER]))
    except FileNotFoundError:
        return None
    except (OSError, pyarrow.ArrowException, ValueError, TypeError, KeyError, RecursionError):
        return None  # cut short as a machine died: it is written again
    if (found.plan, found.number) != (plan, number):
        raise DataError(f"`{path}` is shard {found.number} of another plan. Move it away, and run again.")
    return found


def check_shards(folder: Path, count: int) -> None:
    """Refuse a folder of shards with anything else in it: whoever reads all of it would read that too.

    Raises:
        DataError: there is something else.
    """
    names = {shard_path(folder, number).name for number in range(count)}
    with os.scandir(folder / SHARDS) as found:
        for entry in found:
            if entry.name not in names and not entry.name.startswith("."):
                raise DataError(f"`{entry.path}` is no shard of this run. Move it away, and run again.")


def write_shard(
    folder: Path, shard: Shard, rows: Sequence[Mapping[str, Any]], methods: Sequence[str], dtype: torch.dtype
) -> None:
    """Write rows, and below them what is said of them.

    Args:
        folder: of the run.
        shard: that they are.
        rows: one a picture.
        methods: names of the columns of maps.
        dtype: of the model, and so of scores and maps.

    Raises:
        DataError: the disk says no.
    """
    pyarrow, parquet = _arrow()
    schema = _schema(methods, dtype).with_metadata({_FOOTER: json.dumps(asdict(shard))})
    table = pyarrow.Table.from_pylist(rows, schema)
    with whole_file(shard_path(folder, shard.number)) as part, part.open("wb") as file:
        parquet.write_table(table, file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a shard, scores and maps as arrays.

    Raises:
        DataError: it cannot be read.
    """
    pyarrow, parquet = _arrow()
    try:
        table = parquet.read_table(path)
        rows = table.to_pylist(maps_as_pydicts="strict")
    except (OSError, pyarrow.ArrowException, ValueError, KeyError) as error:
        raise DataError(f"`{path}` cannot be read: {error}. Delete it and run again.") from None
    lists = [field.name for field in table.schema if pyarrow.types.is_list(field.type)]
    kinds = {name: pyarrow.array([], _number(table.schema.field(name).type)).to_numpy().dtype for name in lists}
    for row in rows:
        yield row | {name: None if row[name] is None else np.array(row[name], kinds[name]) for name in lists}


def _schema(methods: Sequence[str], dtype: torch.dtype) -> Any:
    pyarrow, _ = _arrow()
    text, number = pyarrow.string(), pyarrow.float64() if dtype == torch.float64 else pyarrow.float32()
    maps = pyarrow.list_(pyarrow.list_(pyarrow.list_(number)))
    columns = {
        "picture": text,
        "sha256": text,
        "size": pyarrow.list_(pyarrow.int64()),
        "box": pyarrow.list_(pyarrow.int64()),
        "error": text,
        "warning": text,
        "window": pyarrow.list_(pyarrow.float64()),
        "logits": pyarrow.list_(number),
        "targets": pyarrow.list_(pyarrow.int64()),
        "layers": pyarrow.map_(text, text),
        "refused": pyarrow.map_(text, text),
        "metrics": pyarrow.map_(text, pyarrow.list_(pyarrow.float64())),
        "unmeasured": pyarrow.map_(text, text),
        "sheet": pyarrow.binary(),
    }
    return pyarrow.schema([*columns.items(), *((name, maps) for name in methods)])


def _number(kind: Any) -> Any:
    while hasattr(kind, "value_type"):
        kind = kind.value_type
    return kind


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("pyarrow", "batch") from None
    return pyarrow, parquet
