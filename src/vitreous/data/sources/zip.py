"""Pictures in a zip archive, which is not unpacked."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

from vitreous.data.sources.members import is_picture, is_volume, tell_volumes
from vitreous.data.sources.places import AGAIN, open_place
from vitreous.errors import DataError
from vitreous.files.names import printable
from vitreous.files.reading import find_member, open_zip, read_member, unpacking
from vitreous.medical.files import HEAD

__all__ = ["count_pictures", "read_pictures"]


def count_pictures(place: str) -> int:
    """How many pictures are in an archive.

    Raises:
        DataError, MissingExtra: it cannot be read.
    """
    with open_place(place) as file:
        archive = open_zip(place, AGAIN, opened=file)
        tell_volumes(place, sum(is_volume(each.filename) for each in archive.infolist()))
        return len(_pictures(archive))


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
    files = (each for each in archive.infolist() if not each.is_dir())
    found = (each for each in files if is_picture(each.filename, lambda member=each: _head(archive, member)))
    return sorted(found, key=lambda each: (each.filename, each.header_offset))


def _head(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    try:
        found = find_member(archive, member, AGAIN)
        with unpacking(member.filename, AGAIN), archive.open(found) as opened:
            return opened.read(HEAD)
    except DataError:  # whatever it is, nobody can tell
        return b""
