"""Pictures in a zip archive, which is not unpacked."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

from vitreous.data.pictures import SUFFIXES
from vitreous.data.sources.places import AGAIN, open_place
from vitreous.errors import DataError
from vitreous.files.names import printable
from vitreous.files.reading import open_zip, read_member

__all__ = ["count_pictures", "read_pictures"]


def count_pictures(place: str) -> int:
    """How many pictures are in an archive.

    Raises:
        DataError, MissingExtra: it cannot be read.
    """
    with open_place(place) as file:
        return len(_pictures(open_zip(place, AGAIN, opened=file)))


def read_pictures(place: str, first: int, count: int) -> Iterator[tuple[str, bytes | DataError]]:
    """So many of the pictures, by name, or why one of them cannot be read.

    Raises:
        DataError, MissingExtra: the archive cannot be read.
    """
    with open_place(place) as file:
        archive = open_zip(place, AGAIN, opened=file)
        for name in _pictures(archive)[first : first + count]:
            try:
                yield printable(name), read_member(archive, name, "Pack it again.")
            except DataError as error:
                yield printable(name), error


def _pictures(archive: zipfile.ZipFile) -> list[str]:
    names = sorted(name for name in archive.NameToInfo if name.lower().endswith(SUFFIXES))
    return [name for name in names if not name.rpartition("/")[2].startswith(".")]
