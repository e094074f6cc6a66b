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
        for member in _pictures(archive)[first : first + count]:
            name = printable(member.filename)
            try:
                yield name, read_member(archive, member, "Pack it again.")
            except DataError as error:
                yield name, error


def _pictures(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """By name; of one name, there may be several."""
    found = (each for each in archive.infolist() if each.filename.lower().endswith(SUFFIXES))
    shown = (each for each in found if not each.filename.rpartition("/")[2].startswith("."))
    return sorted(shown, key=lambda each: (each.filename, each.header_offset))
