"""A folder, or a zip archive that is read in place: where the files of a data set lie; and what is in one of them."""

from __future__ import annotations

import hashlib
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from vitreous.data.pictures import SUFFIXES
from vitreous.errors import DataError
from vitreous.files.names import printable
from vitreous.files.reading import open_zip, parse_json, read_bytes, read_member, walk
from vitreous.medical.files import looks_medical
from vitreous.medical.nifti import SUFFIXES as VOLUMES

__all__ = ["Root", "Stored"]

T = TypeVar("T")


@dataclass(frozen=True)
class Root:
    """A folder, or a zip archive read in place; also a folder inside an archive, "FILE.zip/inner".

    Attributes:
        path: as it was given.
    """

    path: Path
    _stored: dict[str, str] = field(default_factory=dict[str, str], init=False, repr=False, compare=False)

    @cached_property
    def files(self) -> frozenset[str]:
        """The names of all files in it, with forward slashes; of those that are no text, as they are printable.

        Raises:
            DataError: there is no such folder or archive.
        """
        archive, inner = self._archive
        if archive is not None:
            found = [name.removeprefix(inner) for name in self._zip.namelist() if name.startswith(inner)]
        elif self.path.is_dir():
            found = list(walk(self.path))
        else:
            raise DataError(f"there is no folder or zip archive `{self.path}`. Check the path.")
        written = {name: printable(name) for name in found}
        if len(set(written.values())) < len(written):
            twice = next(name for name, count in Counter(written.values()).items() if count > 1)
            raise DataError(f"`{self.path}` has two files whose names are both written `{twice}`. Rename one.")
        self._stored.update({shown: name for name, shown in written.items() if shown != name})
        return frozenset(written.values())

    def read(self, name: str) -> bytes:
        """The bytes of a file.

        Raises:
            DataError: there is no such file, or it cannot be read.
        """
        archive, inner = self._archive
        name, remedy = self._stored.get(name, name), "Check that the data set is complete."
        if archive is None:
            return read_bytes(self.path / name, remedy)
        try:
            return read_member(self._zip, inner + name, remedy)
        except KeyError:
            raise DataError(f"`{self.path}` has no file `{name}`. {remedy}") from None

    def stamp(self, name: str) -> str:
        """What tells a file from one that was there before: its size, and when it was written or its checksum.

        Raises:
            DataError: its archive cannot be read.
        """
        archive, inner = self._archive
        name = self._stored.get(name, name)
        try:
            if archive is not None:
                stored = self._zip.getinfo(inner + name)
                return f"{stored.file_size} {stored.CRC}"
            about = (self.path / name).stat()
        except (KeyError, OSError, ValueError):  # reading it will say more
            return "missing"
        return f"{about.st_size} {about.st_mtime_ns}"

    def digest(self, name: str) -> str:
        """SHA-256 of a file's contents.

        Raises:
            DataError: likewise.
        """
        archive, _ = self._archive
        if self.stamp(name) == "missing":
            return "missing"
        if archive is not None:
            return hashlib.sha256(self.read(name)).hexdigest()
        with (self.path / self._stored.get(name, name)).open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()

    def json(self, name: str, remedy: str) -> Any:
        """The values in a JSON file.

        Raises:
            DataError: there is no such file, or it is no JSON.
        """
        return parse_json(self.read(name), f"`{name}` in `{self.path}`", remedy)

    def text(self, name: str) -> str:
        """The contents of a text file.

        Raises:
            DataError: there is no such file, or it is not UTF-8.
        """
        try:
            return self.read(name).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"`{name}` in `{self.path}` is not UTF-8 text: {error}. Save it again.") from None

    def pictures(self, folder: str = "") -> list[str]:
        """The names of the picture files below a folder ("" or ending in a slash), sorted; hidden ones do not count."""
        return sorted(name for name in self.files if name.startswith(folder) and self._is_picture(name))

    def _is_picture(self, name: str) -> bool:
        last = name.rpartition("/")[2]
        if last.startswith("."):
            return False
        loose = self._archive[0] is None and not last.lower().endswith(VOLUMES)
        return last.lower().endswith(SUFFIXES) or (loose and looks_medical(self.path / self._stored.get(name, name)))

    @cached_property
    def _archive(self) -> tuple[Path | None, str]:
        """The zip archive, if it is one, and the folder in it."""
        for at in (self.path, *self.path.parents):
            if at.suffix.lower() == ".zip" and at.is_file():
                inner = self.path.relative_to(at).as_posix()
                return at, "" if inner == "." else f"{inner}/"
        return None, ""

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        archive: Any = self._archive[0]
        return open_zip(archive, "Copy or download it again.")


@dataclass(frozen=True)
class Stored(Generic[T]):
    """What a file of a data set holds, read when it is asked for.

    Attributes:
        decode: what reads it.
        root: where the file lies.
        name: of the file, in it.
    """

    decode: Callable[[Root, str], T]
    root: Root
    name: str

    def __call__(self) -> T:
        """Read it.

        Raises:
            DataError: it cannot be read.
        """
        return self.decode(self.root, self.name)
