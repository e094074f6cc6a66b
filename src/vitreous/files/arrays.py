"""npz archives from anywhere: arrays of plain numbers and texts, of the sizes that their members have."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from vitreous.errors import DataError
from vitreous.files.reading import find_member, open_zip, unpacking

__all__ = ["Arrays", "open_arrays"]


@dataclass(frozen=True)
class Arrays:
    """The arrays of an npz archive by their names, read when they are asked for.

    Attributes:
        archive: what they are in.
        remedy: what to do when one cannot be read.
    """

    archive: zipfile.ZipFile
    remedy: str

    def __contains__(self, name: str) -> bool:
        return f"{name}.npy" in self.archive.NameToInfo

    def __getitem__(self, name: str) -> NDArray[Any]:
        """One of them.

        Raises:
            DataError: there is none of that name, it is damaged, holds Python objects, or says that it is larger than
                it is.
        """
        place = f"`{name}` in `{self.archive.filename}`"
        if name not in self:
            raise DataError(f"`{self.archive.filename}` has no array `{name}`. {self.remedy}")
        member = find_member(self.archive, f"{name}.npy", self.remedy)
        with unpacking(place, self.remedy), self.archive.open(member) as file:
            shape, kind = _header(file)
        if kind.hasobject or kind.names or not kind.itemsize:
            raise DataError(f"{place} holds {kind}, not plain numbers or texts. {self.remedy}")
        if kind.itemsize * math.prod(shape) > member.file_size:
            raise DataError(f"{place} says {kind} {shape}, and has {member.file_size:,} bytes. {self.remedy}")
        with unpacking(place, self.remedy), self.archive.open(member) as file:
            return npy.read_array(file, allow_pickle=False)


@contextmanager
def open_arrays(path: Path, remedy: str) -> Generator[Arrays]:
    """The arrays of an npz archive, inside the block.

    Raises:
        DataError: there is no such file, or it is none.
    """
    with open_zip(path, remedy) as archive:
        yield Arrays(archive, remedy)


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, kind = read(file)
    return shape, kind
