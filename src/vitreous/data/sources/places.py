"""Files of this machine by their path, and of object stores and the like by their address, in one way."""

from __future__ import annotations

import glob
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from vitreous.errors import DataError, MissingExtra, first_sentence
from vitreous.files.names import printable
from vitreous.files.reading import matches, plain_part, read_bytes, walk

__all__ = ["AGAIN", "GONE", "File", "Files", "find", "is_address", "open_place", "read_place"]

AGAIN = "Bring it back and run again to go on."
GONE = "gone"
"""The stamp of a link to nothing, or of what went as it was looked at."""
_CHECK = "Check the address."
_TOLD = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated", "mtime", "created")
"""What file systems call that which changes with a file."""


@dataclass(frozen=True)
class File:
    """A file, and what tells it from one that was there before.

    Attributes:
        name: below the root that it was found under, with forward slashes; or a path or address that needs none.
        stamp: its size, and when it was written or a checksum; empty where nobody says.
    """

    name: str
    stamp: str


@dataclass(frozen=True)
class Files:
    """Files below one root.

    Attributes:
        root: a folder, or the address of one.
        each: all of them, in a fixed order. There may be more than fit into memory.
        named: each was named itself, so it is what it was named for whatever its suffix.
    """

    root: str
    each: Callable[[], Iterator[File]]
    named: bool = False


def is_address(place: str) -> bool:
    """Whether it is no path of this machine.

    >>> is_address("s3://bucket/a.png"), is_address("C:/a.png")
    (True, False)
    """
    return "://" in place


def find(place: str) -> Files:
    """The files at a place: a file, a folder (searched to the bottom), a pattern such as "shards/*.tar", or an address.

    Raises:
        DataError: nothing is there, or it cannot be asked.
        MissingExtra: an address needs a package.
    """
    return _at_address(place.rstrip("/")) if is_address(place) else _here(Path(place).expanduser().absolute())


def _here(path: Path) -> Files:
    if path.is_dir():
        return Files(str(path), lambda: (_stamped(path, name) for name in walk(path)))
    if path.is_file():
        return Files(str(path.parent), lambda: iter([_stamped(path.parent, path.name)]), named=True)
    if path.exists():
        raise DataError(
            f"`{printable(str(path))}` is a pipe, a socket or a device, and no file. Write it to a file first."
        )
    if not glob.has_magic(str(path)):
        raise DataError(f"there is no file or folder `{printable(str(path))}`. Check the path.")
    plain = plain_part(path)

    def found() -> Iterator[File]:
        names = sorted(each.relative_to(plain).as_posix() for each in matches(path) if each.is_file())
        return (_stamped(plain, name) for name in names)

    return Files(str(plain), found)


def _stamped(folder: Path, name: str) -> File:
    try:
        about = (folder / name).stat()
    except OSError:  # whoever wants it says so
        return File(name, GONE)
    return File(name, f"{about.st_size} {about.st_mtime_ns}")


def _at_address(address: str) -> Files:
    with _foreign(address, _CHECK):
        from fsspec.core import url_to_fs

        system, path = url_to_fs(address)
        if system.isdir(path):
            root, wanted = address, system.find
        elif system.exists(path):
            root = address.rpartition("/")[0]
            return Files(root, lambda: iter([_told(address[len(root) + 1 :], system.info(path))]), named=True)
        elif glob.has_magic(path):
            parts = PurePath(address).parts
            at = next(at for at, part in enumerate(parts) if glob.has_magic(part))
            root, wanted = address.rsplit("/", len(parts) - at)[0], system.glob
        else:
            raise DataError(f"there is nothing at `{address}`. {_CHECK}")
        above = len(str(system._strip_protocol(root)).rstrip("/")) + 1

    def found() -> Iterator[File]:
        with _foreign(address, _CHECK):
            names = sorted(wanted(path, detail=True).items())
        return (_told(name[above:], about) for name, about in names if about.get("type") == "file")

    return Files(root, found)


def _told(name: str, about: dict[str, Any]) -> File:
    changing = next((str(about[key]) for key in _TOLD if about.get(key)), "")
    return File(name, f"{about.get('size')} {changing}")


@contextmanager
def open_place(place: str) -> Generator[BinaryIO]:
    """A file to read from, at any of its bytes.

    Raises:
        DataError: it is not there, or cannot be read.
        MissingExtra: its address needs a package.
    """
    with _foreign(place):
        if is_address(place):
            import fsspec

            opened: Any = fsspec.open(place, "rb")
            file: Any = opened.open()
        else:
            file = Path(place).open("rb")  # noqa: SIM115  # closed below
    with file:
        yield file


def read_place(place: str) -> bytes:
    """All that is in a file.

    Raises:
        DataError, MissingExtra: as `open_place`.
    """
    if not is_address(place):
        return read_bytes(Path(place), AGAIN)
    with open_place(place) as file, _foreign(place):
        return file.read()


@contextmanager
def _foreign(place: str, remedy: str = AGAIN) -> Generator[None]:
    """One clear error for all that a disk or a store says."""
    shown = printable(place)
    try:
        yield
    except (DataError, MissingExtra):
        raise
    except FileNotFoundError:
        raise DataError(f"there is no `{shown}` any more. {AGAIN}") from None
    except ModuleNotFoundError as error:
        raise MissingExtra((error.name or "fsspec").partition(".")[0], "batch") from None
    except ImportError as error:  # fsspec says which package
        raise DataError(f"`{shown}` cannot be opened: {first_sentence(error)}. Install that package.") from None
    except Exception as error:  # stores raise anything
        raise DataError(f"`{shown}` cannot be read: {first_sentence(error)}. {remedy}") from None
