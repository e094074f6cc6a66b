"""The file of an index of cases: written batch by batch, and as data when it comes back in."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.data.pictures import open_encoded
from vitreous.errors import DataError, ExplainError, MissingExtra, first_sentence
from vitreous.files.reading import check_file, check_growth
from vitreous.files.writing import to_json, whole_file
from vitreous.settings.typed import typed

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["About", "Chunk", "Index", "Whole", "open_index", "writing"]

Whole = Literal["mean", "class"]
"""What stands for a whole picture: the mean of its patches, or its class token."""
_FOOTER, _RUN, _VERSION = b"vitreous.cases", b"vitreous.run", 1
_REMEDY = "Build an index, or give another file."
_MOST_NUMBERS, _AT_ONCE = 1 << 26, 1 << 22
"""Of one picture's features, and of all that are in memory at once."""
_ROW_BYTES, _TEXTS_AT_ONCE = 128, 1 << 10
"""What Python takes for a name and a label beside their letters; and how many are read at once."""
_MOST_BYTES, _MOST_PIXELS = 1 << 20, 1 << 20
"""Of a picture that is shown."""


@dataclass(frozen=True)
class About:
    """What an index was made of.

    Attributes:
        version: of the layout.
        model: its name.
        weights_sha256: of its weights; empty where nobody says.
        layer: dotted name of the module that was read.
        whole: "mean" of the patches, or the "class" token.
        grid: (height, width) in patches.
        channels: of the features.
    """

    version: int
    model: str
    weights_sha256: str
    layer: str
    whole: Whole
    grid: tuple[int, int]
    channels: int

    @property
    def numbers(self) -> int:
        """How many a picture's patches have."""
        return self.grid[0] * self.grid[1] * self.channels


@dataclass(frozen=True)
class Chunk:
    """Some pictures of an index.

    Attributes:
        first: the row of the first of them.
        whole: their features as wholes, of length 1.
        patches: of their patches, row by row, likewise.
    """

    first: int
    whole: Float[Tensor, "pictures channels"]
    patches: Float[Tensor, "pictures patches channels"]


@dataclass(frozen=True)
class Index:
    """An index that came in by the door.

    Attributes:
        path: of the file.
        about: what it was made of.
        names: of its pictures.
        labels: their classes, where known.
        run: that built it, as in a manifest; empty where it does not say. Nothing of it is checked.
    """

    path: Path
    about: About
    names: Sequence[str]
    labels: Sequence[str | None]
    run: Mapping[str, Any]

    def chunks(self) -> Iterator[Chunk]:
        """All features, so many pictures at a time that memory stays bounded.

        Raises:
            DataError: the file is damaged, or holds features that are not finite.
        """
        first, channels = 0, self.about.channels
        with _reading(self.path) as file:
            for batch in file.iter_batches(max(1, _AT_ONCE // self.about.numbers), columns=["whole", "patches"]):
                whole, patches = (
                    torch.from_numpy(column.flatten().to_numpy(zero_copy_only=False).astype(np.float32))
                    for column in batch.columns
                )
                if not (whole.isfinite().all() and patches.isfinite().all()):
                    raise DataError(f"`{self.path}` has features that are NaN or infinite. Build it again.")
                yield Chunk(first, whole.view(len(batch), channels), patches.view(len(batch), -1, channels))
                first += len(batch)

    def picture(self, row: int) -> Image:
        """What the model saw of a picture, small.

        Raises:
            DataError: it cannot be read.
        """
        with _reading(self.path) as file:
            for group in range(file.metadata.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                if row < count:
                    encoded = file.read_row_group(group, ["shown"]).column(0)[row].as_py()
                    return open_encoded(encoded, f"{self.names[row]} in {self.path}", most=_MOST_PIXELS)
                row -= count
        raise DataError(f"`{self.path}` has no row {row}. Build it again.")


@contextmanager
def writing(path: Path, about: About, run: Mapping[str, Any]) -> Generator[Any]:
    """A function that takes rows, by column; the file is there when the block ends well.

    Args:
        path: of the file.
        about: what it is made of.
        run: that makes it, in plain values.

    Raises:
        DataError: the disk says no.
        MissingExtra: pyarrow is not installed.
    """
    pyarrow, parquet = _arrow()
    schema = _schema(about).with_metadata({_FOOTER: json.dumps(asdict(about)), _RUN: to_json(run)})
    with whole_file(path) as part, parquet.ParquetWriter(part, schema, compression="zstd") as writer:

        def write(columns: Mapping[str, Any]) -> None:
            count = len(columns["picture"])
            arrays = [
                pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(columns[field.name].ravel()), type=field.type)
                if pyarrow.types.is_fixed_size_list(field.type)
                else pyarrow.array(columns[field.name], field.type)
                for field in schema
            ]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema), count)

        yield write


def open_index(path: str | Path) -> Index:
    """The index in a file, which may come from anywhere: its layout and sizes are checked before a number is read.

    Raises:
        DataError: it cannot be read, or is no index of ours.
        MissingExtra: pyarrow is not installed.
    """
    path = Path(path)
    _arrow()
    with _reading(path) as file:
        told: dict[bytes, bytes] = file.schema_arrow.metadata or {}
        try:
            about: About = typed(About, json.loads(told.get(_FOOTER, b"null")))
            run: dict[str, Any] = typed(dict, json.loads(told.get(_RUN, b"{}")))
        except (ExplainError, ValueError, TypeError, KeyError, RecursionError):
            raise _foreign(path) from None
        sizes = (*about.grid, about.channels)
        if about.version != _VERSION or min(sizes) < 1 or max(sizes) > _MOST_NUMBERS or about.numbers > _MOST_NUMBERS:
            raise _foreign(path)
        if not file.schema_arrow.remove_metadata().equals(_schema(about)) or not file.metadata.num_rows:
            raise _foreign(path)
        row = 2 * (about.numbers + about.channels) + _MOST_BYTES
        for group in map(file.metadata.row_group, range(file.metadata.num_row_groups)):
            if group.total_byte_size > (group.num_rows + 1) * row:
                raise _foreign(path)
        names, labels = _texts(file, about, path)
    return Index(path, about, names, labels, run)


def _texts(file: Any, about: About, path: Path) -> tuple[list[str], list[str | None]]:
    """Names and labels, once it is clear that a small file does not say the same rows any number of times.

    Raises:
        DataError: they grow out of all proportion.
    """
    row = _ROW_BYTES + 2 * (about.numbers + about.channels)
    packed, size = path.stat().st_size, row * file.metadata.num_rows
    columns: tuple[list[str], list[str | None]] = [], []
    check_growth(f"`{path}`", packed, size, _REMEDY)
    for batch in file.iter_batches(_TEXTS_AT_ONCE, columns=["picture", "label"]):
        size += batch.get_total_buffer_size()
        check_growth(f"`{path}`", packed, size, _REMEDY)
        for texts, column in zip(columns, batch.columns, strict=True):
            texts.extend(column.to_pylist())
    return columns


def _foreign(path: Path) -> DataError:
    return DataError(f"`{path}` is no index that `build_cases` wrote. Build one, or give another file.")


@contextmanager
def _reading(path: Path) -> Generator[Any]:
    pyarrow, parquet = _arrow()
    check_file(path, _REMEDY)
    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except ExplainError:
        raise
    except (OSError, pyarrow.ArrowException, ValueError, TypeError) as error:  # the latter of text that is none
        raise DataError(f"`{path}` cannot be read: {first_sentence(error)}. Build the index again.") from None


def _schema(about: About) -> Any:
    pyarrow, _ = _arrow()
    half = pyarrow.float16()
    kinds = {
        "picture": pyarrow.string(),
        "label": pyarrow.string(),
        "whole": pyarrow.list_(half, about.channels),
        "patches": pyarrow.list_(half, about.numbers),
        "shown": pyarrow.binary(),
    }
    return pyarrow.schema([pyarrow.field(name, kind, nullable=name == "label") for name, kind in kinds.items()])


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("pyarrow", "batch") from None
    return pyarrow, parquet
