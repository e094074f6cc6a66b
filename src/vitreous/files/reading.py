"""The door for files from anywhere: what they are, how large they are and how large they grow, before they are read."""

from __future__ import annotations

import glob
import json
import os
import tomllib
import zipfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn
from warnings import warn

from vitreous.errors import DataError, ExplainError, ExplainWarning
from vitreous.files.names import printable

__all__ = [
    "check_file",
    "check_growth",
    "find_member",
    "is_zip",
    "matches",
    "open_zip",
    "parse_json",
    "plain_part",
    "read_bytes",
    "read_json",
    "read_member",
    "read_toml",
    "unpacking",
    "walk",
    "within",
]

MOST_BYTES = 2**30
"""What is read into memory at once has no more: COCO's annotations have less than half of it."""
FREE_BYTES, GROWTH = 2**26, 100
"""What is packed may grow to so much in any case, and beyond to so many times its packed size."""
_LINKED = 100_000
_Error = type[ExplainError]


def check_file(path: Path, remedy: str, error: _Error = DataError) -> None:
    """Refuse what is no file: nothing, a folder, a pipe or device that would never end.

    Raises:
        DataError: or `error`.
    """
    try:
        found = path.is_file()
    except OSError as said:  # a name too long, a loop of links
        raise error(f"`{path}` cannot be read: {said.strerror}. {remedy}") from None
    if not found:
        raise error(f"`{path}` is no file. {remedy}" if path.exists() else f"there is no file `{path}`. {remedy}")


def read_bytes(path: Path, remedy: str, error: _Error = DataError, *, most: int = MOST_BYTES) -> bytes:
    """The bytes of a file.

    Raises:
        DataError: or `error`: there is no such file, it may not be read, or it has more bytes than `most`.
    """
    check_file(path, remedy, error)
    try:
        if path.stat().st_size > most:
            raise error(f"`{path}` has {path.stat().st_size:,} bytes, more than {most:,}. {remedy}")
        return path.read_bytes()
    except OSError as said:
        raise error(f"`{path}` cannot be read: {said.strerror}. {remedy}") from None


def read_json(path: Path, remedy: str, error: _Error = DataError) -> Any:
    """The values in a JSON file.

    Raises:
        DataError: or `error`: as `read_bytes` and `parse_json`.
    """
    return parse_json(read_bytes(path, remedy, error), f"`{path}`", remedy, error)


def parse_json(text: bytes | str, name: str, remedy: str, error: _Error = DataError) -> Any:
    """The values in JSON, which knows no NaN.

    Raises:
        DataError: or `error`: it is none, or is nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_no_json)
    except (ValueError, RecursionError) as said:
        raise error(f"{name} is not JSON: {_reason(said)}. {remedy}") from None


def read_toml(path: Path, what: str, error: _Error = DataError) -> dict[str, Any]:
    """The values in a TOML file.

    Raises:
        DataError: or `error`: there is no such file, or it is no TOML.
    """
    if not path.is_file():
        raise error(f"there is no {what} at {path}. Give the path of a TOML file.")
    try:
        return tomllib.loads(read_bytes(path, "Give a TOML file.", error).decode("utf-8-sig"))
    except (ValueError, RecursionError) as said:
        raise error(f"{path} is not TOML: {_reason(said)}. Correct that line.") from None


def within(path: Path) -> tuple[Path, str]:
    """A file, and what is named in it: `ct.nii.gz/axial/20` is a slice of a file as a path is in an archive."""
    for file in path.parents:
        if file.is_file():
            return file, path.relative_to(file).as_posix()
    return path, ""


def is_zip(path: Path) -> bool:
    """Whether a file is a zip archive, be it a damaged one: `open_zip` says what is the matter."""
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return True


def open_zip(
    path: Path | str, remedy: str, error: _Error = DataError, *, opened: BinaryIO | None = None
) -> zipfile.ZipFile:
    """A zip archive whose members can be read without a password, by `read_member`.

    Args:
        path: of the archive.
        remedy: what to do where it is none.
        error: that is raised then.
        opened: the archive itself, where it does not lie at a path.

    Raises:
        DataError: or `error`: it is none.
    """
    if opened is None:
        check_file(Path(path), remedy, error)
    try:
        archive = zipfile.ZipFile(opened or path)
    except Exception as said:  # a damaged directory raises anything
        raise error(f"`{path}` is no zip archive: {_reason(said)}. {remedy}") from None
    archive.filename = str(path)
    return archive


def read_member(archive: zipfile.ZipFile, name: str | zipfile.ZipInfo, remedy: str, error: _Error = DataError) -> bytes:
    """The bytes of a file in a zip archive: the last of that name, or a certain one.

    Raises:
        KeyError: there is none of that name.
        DataError: or `error`: it is encrypted, damaged, packed in an unusual way, or grows out of all proportion.
    """
    member = find_member(archive, name, remedy, error)
    with unpacking(_inside(archive, member), remedy, error):
        return archive.read(member)


def find_member(
    archive: zipfile.ZipFile, name: str | zipfile.ZipInfo, remedy: str, error: _Error = DataError
) -> zipfile.ZipInfo:
    """A file in a zip archive that can be unpacked. Raises as `read_member`."""
    member = archive.getinfo(name) if isinstance(name, str) else name
    place = _inside(archive, member)
    if member.flag_bits & 1:
        raise error(f"{place} is encrypted. Unpack it with its password first.")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise error(f"{place} is packed by method {member.compress_type}. Pack it again by deflate, as zip does.")
    check_growth(place, member.compress_size, member.file_size, remedy, error)
    return member


def _inside(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    return f"`{printable(member.filename)}` in `{archive.filename}`"


@contextmanager
def unpacking(place: str, remedy: str, error: _Error = DataError) -> Generator[None]:
    """One clear error for all that unpacking a damaged file can raise.

    Raises:
        DataError: or `error`.
    """
    try:
        yield
    except (ExplainError, MemoryError):
        raise
    except Exception as said:  # damaged headers raise anything, also what a parser of Python does
        raise error(f"{place} cannot be read: {_reason(said)}. {remedy}") from None


def check_growth(place: str, packed: int, unpacked: int, remedy: str, error: _Error = DataError) -> None:
    """Refuse what unpacks to much more than any real file does.

    Raises:
        DataError: or `error`.
    """
    if unpacked > max(FREE_BYTES, GROWTH * packed):
        raise error(f"{place} grows from {packed:,} to {unpacked:,} bytes. {remedy}")


def matches(pattern: Path) -> Iterator[Path]:
    """What fits a pattern, in no order. `**` follows no link to a folder: a loop of them would never end."""
    plain = plain_part(pattern)
    rest = [part if part == "**" else part.replace("**", "*") for part in pattern.parts[len(plain.parts) :]]
    rest += ["*"] if pattern.parts[-1] == "**" else []
    return plain.glob(str(Path(*rest)))


def plain_part(pattern: Path) -> Path:
    """The folder that all lies in which fits a pattern.

    >>> plain_part(Path("scans/2024/*.png")).as_posix()
    'scans/2024'
    """
    magic = (at for at, part in enumerate(pattern.parts) if glob.has_magic(part))
    return Path(*pattern.parts[: next(magic)])


def walk(folder: Path) -> Iterator[str]:
    """The names of all regular files below a folder, with forward slashes: its own by name, then those of its folders.

    Links to folders are followed, but not to one that they lie in. Links to nothing are named as files are.

    Raises:
        DataError: a folder may not be read, or the links lead to too many.

    Warns:
        ExplainWarning: pipes and the like are left out, which nobody could read to their end; hidden ones do not count.
    """
    linked, odd = 0, list[str]()
    todo: list[tuple[str, str, tuple[tuple[int, int], ...]]] = [(str(folder), "", (_identity(folder),))]
    while todo:
        place, inner, above = todo.pop()
        below: list[tuple[str, str, tuple[tuple[int, int], ...]]] = []
        for entry in _entries(place):
            name = f"{inner}/{entry.name}" if inner else entry.name
            kind = _kind(entry)
            if kind == "file" or (not kind and entry.is_symlink()):
                yield name
            elif kind == "folder" and not entry.is_symlink():
                below.append((entry.path, name, (*above, _identity(entry))))
            elif kind == "folder" and (itself := _identity(entry)) not in above:
                below.append((entry.path, name, (*above, itself)))
                linked += 1
                if linked > _LINKED:
                    raise DataError(f"links in `{folder}` lead to more than {_LINKED:,} folders. Remove some.")
            elif not kind and entry.name[0] != ".":
                odd.append(f"`{printable(name)}`")
        todo += reversed(below)
    if odd:
        named = ", ".join(odd[:3]) + (", …" if len(odd) > 3 else "")
        warn(f"`{folder}`: left out, since a pipe, socket or device is no picture: {named}.", ExplainWarning, 2)


def _entries(place: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(place) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as said:
        raise DataError(f"the folder `{place}` cannot be read: {said.strerror}. Change its permissions.") from None


def _kind(entry: os.DirEntry[str]) -> str:
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else ""
    except OSError:  # a link to itself
        return ""


def _identity(place: Path | os.DirEntry[str]) -> tuple[int, int]:
    found = place.stat()
    return found.st_dev, found.st_ino


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _reason(said: BaseException) -> str:
    """What a foreign error says, in one line."""
    if isinstance(said, RecursionError):
        return "it is nested too deeply"
    lines = str(said).splitlines()
    return (lines[0] if lines else type(said).__name__).rstrip(".")
