"""Pictures in a tar archive, as WebDataset keeps them: found once, then read from the middle."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from vitreous.data.sources.members import is_picture, is_volume, tell_volumes
from vitreous.data.sources.places import AGAIN, open_place
from vitreous.errors import DataError
from vitreous.files.names import printable
from vitreous.files.reading import MOST_BYTES
from vitreous.medical.files import HEAD

__all__ = ["find_members", "read_members"]

_AT_ONCE = 2**20


def find_members(place: str, size: int) -> Iterator[tuple[int, int]]:
    """Where in the archive each so many pictures start, in bytes, and how many these are.

    A tar has no table of its contents: all headers are read, and of one at an address perhaps everything.

    Raises:
        DataError, MissingExtra: it cannot be read, or is damaged or cut short.
    """
    with open_place(place) as file:
        start, count, volumes = 0, 0, 0
        for member in _files(file, place):
            volumes += is_volume(member.name)
            if not _is_picture(file, member):
                continue
            start = start if count else member.offset
            count += 1
            if count == size:
                yield start, count
                count = 0
        if count:
            yield start, count
        tell_volumes(place, volumes)


def read_members(place: str, first: int, count: int) -> Iterator[tuple[str, bytes | DataError]]:
    """So many pictures from the one that starts at that byte, or why one of them cannot be read.

    Raises:
        DataError, MissingExtra: the archive cannot be read, or has fewer.
    """
    with open_place(place) as file:
        file.seek(first)
        left = count
        for member in _files(file, place):
            if not _is_picture(file, member):
                continue
            name = printable(member.name)
            if member.issparse() or member.size > MOST_BYTES:
                said = f"`{name}` in `{place}` is sparse or has {member.size:,} bytes. Pack it again as it is."
                yield name, DataError(said)
            else:
                file.seek(member.offset_data)
                yield name, file.read(member.size)
            left -= 1
            if not left:
                return
    raise DataError(f"`{place}` has {left} pictures fewer than there were. {AGAIN}")


def _is_picture(file: BinaryIO, member: tarfile.TarInfo) -> bool:
    def head() -> bytes:
        file.seek(member.offset_data)
        return b"" if member.issparse() else file.read(min(HEAD, member.size))

    return is_picture(member.name, head)


def _files(file: BinaryIO, place: str) -> Iterator[tarfile.TarInfo]:
    """The files from where the file stands to its end."""
    damaged = DataError(f"`{place}` is damaged or cut short, or no tar archive. Copy, download or pack it again.")
    goes_on = DataError(f"`{place}` goes on behind its end: it is damaged, or several in one. Pack it again.")
    try:
        archive: Any = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115  # the file is somebody else's
        while (member := archive.next()) is not None:
            archive.members.clear()  # it would remember them all
            if member.isreg():
                yield member
        file.seek(archive.offset)
        end = file.read(tarfile.BLOCKSIZE)
    except tarfile.TarError:
        raise damaged from None
    if end != bytes(tarfile.BLOCKSIZE):  # what is damaged ends without a word
        raise damaged
    while rest := file.read(_AT_ONCE):
        if any(rest):
            raise goes_on
