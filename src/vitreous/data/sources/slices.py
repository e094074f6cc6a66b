"""A data set cut into slices: pictures that are read, and computed on, one slice at a time."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal
from warnings import warn

from vitreous.data.pictures import SUFFIXES
from vitreous.data.sources.parquet import count_rows, read_rows
from vitreous.data.sources.places import AGAIN, GONE, File, Files, find, is_address, open_place, read_place
from vitreous.data.sources.tar import find_members, read_members
from vitreous.data.sources.zip import count_pictures, read_pictures
from vitreous.errors import DataError, ExplainWarning
from vitreous.files.names import printable
from vitreous.files.reading import parse_json, read_bytes
from vitreous.medical.dicom import is_dicom
from vitreous.medical.files import HEAD, is_bare
from vitreous.settings.layout import as_left
from vitreous.settings.typed import Count, Within

__all__ = ["Encoded", "Slice", "cut", "find_files", "place_of", "read_slice"]

_LIST = ".txt"
_SHOWN = 3
_KINDS = {".zip": "zip", ".tar": "tar", ".parquet": "parquet"}
_PACKED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")

Encoded = tuple[str, bytes | DataError]
"""A picture's name in its data set, and the bytes of its file, or why the archive does not give them."""


@dataclass(frozen=True)
class Slice:
    """Pictures that lie side by side, somewhere below a root.

    Attributes:
        kind: "files", or the archive or table that they lie in: "zip", "tar" or "parquet".
        names: of the files; or of the one that holds them.
        count: how many pictures.
        first: of an archive, the number of the first; of a tar, the byte that it starts at.
    """

    kind: str
    names: tuple[str, ...]
    count: int
    first: int = 0

    def to_json(self) -> str:
        """In one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: bytes, place: Path) -> Slice:
        """As `to_json` wrote it into that file.

        Raises:
            DataError: it was changed since.
        """
        values = parse_json(line, f"a line of `{place}`", "Choose another output folder.")
        kinds = Literal["files", "zip", "tar", "parquet"]
        layout = {"kind": kinds, "names": tuple[str, ...], "count": Count, "first": Annotated[int, Within(0)]}
        found = as_left(values, layout, place)
        return cls(**{name: found[name] for name in layout})


def find_files(dataset: str) -> Files:
    """The files of a data set.

    Args:
        dataset: a folder of pictures, or of zip, tar or Parquet files of pictures; one such file; a pattern such as
            "shards/*.tar"; a .txt file with a picture's path or address a line; or the address of any of these, such
            as "s3://bucket/folder".

    Raises:
        DataError: nothing is there, or it is none of these.
        MissingExtra: an address needs a package.
    """
    if not dataset.strip():
        raise DataError("the place of the pictures is empty. Name a folder, '.' for this one.")
    if not dataset.lower().endswith(_LIST):
        return find(dataset)
    folder = dataset.rpartition("/")[0] if is_address(dataset) else str(Path(dataset).expanduser().absolute().parent)
    return Files(folder, lambda: _listed(dataset, folder), named=True)


def _listed(dataset: str, folder: str) -> Iterator[File]:
    path = Path(dataset).expanduser()
    remedy = "Give a text file in UTF-8 with a picture's path or address a line."
    text = read_place(dataset) if is_address(dataset) else read_bytes(path, remedy)
    try:
        lines = StringIO(text.decode("utf-8-sig"), newline=None)
    except UnicodeDecodeError:
        raise DataError(f"`{dataset}` is no text in UTF-8. {remedy}") from None
    for at, line in enumerate(lines, 1):
        if not (name := line.strip()):
            continue
        place = place_of(folder, name)
        if is_address(place):  # to ask for each would take longer than to read it
            yield File(name, "")
            continue
        try:
            about = os.stat(place)  # noqa: PTH116  # a path costs as much again
        except (OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) else error
            raise DataError(f"line {at} of `{dataset}`, `{printable(name)}`: {said}. Correct that line.") from None
        if not stat.S_ISREG(about.st_mode):
            raise DataError(f"line {at} of `{dataset}`, `{printable(name)}`, is no file. Correct that line.")
        yield File(name, f"{about.st_size} {about.st_mtime_ns}")


def place_of(root: str, name: str) -> str:
    """Where a file lies: a name that is an address or an absolute path stands for itself."""
    if is_address(name) or PurePosixPath(name).is_absolute():
        return name
    return f"{root}/{name}" if is_address(root) else str(Path(root, name))


def cut(files: Iterable[File], root: str, size: int, *, named: bool, dataset: str = "") -> Iterator[Slice]:
    """Slices of so many pictures at most, none of which reaches from one archive into the next.

    Args:
        files: in which the pictures lie, or that they are.
        root: that their names are below.
        size: pictures of a slice.
        named: as `Files` says.
        dataset: what they were found by, for messages; empty for the root.

    Raises:
        DataError: there is no picture, or a link to none; pictures lie beside archives; or an archive cannot be read.

    Warns:
        ExplainWarning: some of the files are left out, since they are no pictures; hidden ones do not count.
    """
    loose: list[str] = []
    others = _Others(root)
    seen = ""
    for file in files:
        kind = _kind(file.name, root, named=named)
        if not kind:
            others.note(file.name)
            continue
        if file.stamp == GONE:
            raise DataError(f"`{printable(file.name)}` in `{root}` is a link to nothing, or is gone. {AGAIN}")
        if seen and (kind == "files") != (seen == "files"):
            raise DataError(
                f"`{root}` holds pictures beside archives of pictures, such as `{printable(file.name)}`. Give one "
                'kind, with a pattern such as "folder/*.tar".'
            )
        if kind == "files":
            seen = kind
            loose.append(file.name)
            if len(loose) == size:
                yield Slice(kind, tuple(loose), size)
                loose.clear()
            continue
        starts = [*_STARTS[kind](place_of(root, file.name), size)]
        if not starts:
            others.note(file.name)
            continue
        seen = kind
        yield from (Slice(kind, (file.name,), count, first) for first, count in starts)
    if loose:
        yield Slice("files", tuple(loose), len(loose))
    if not seen:
        raise DataError(
            f"`{dataset or root}` leads to no picture. Give a folder, a pattern or a .txt list of pictures "
            f"({', '.join(SUFFIXES)}), or of .zip, .tar or .parquet files of them."
        )
    others.tell()


@dataclass
class _Others:
    """Files in which there are no pictures: how many, and some of them."""

    root: str
    count: int = 0
    some: list[str] = field(default_factory=list[str])

    def note(self, name: str) -> None:
        if not PurePosixPath(name).name.startswith("."):
            self.count += 1
            self.some += [f"`{printable(name)}`"] if self.count <= _SHOWN else []

    def tell(self) -> None:
        if self.count:
            what = "a file" if self.count == 1 else f"{self.count:,} files"
            named = ", ".join([*self.some, "…"] if self.count > _SHOWN else self.some)
            warn(f"`{self.root}`: {what} without pictures left out: {named}.", ExplainWarning, stacklevel=3)


def _kind(name: str, root: str, *, named: bool) -> str:
    lower = name.lower()
    if lower.endswith(_PACKED):
        raise DataError(f"`{printable(name)}` is packed as a whole, so no part of it can be read. Unpack it to .tar.")
    if PurePosixPath(name).name.startswith(".") and not named:
        return ""
    known = named or lower.endswith(SUFFIXES) or (is_bare(name) and is_dicom(_head(place_of(root, name))))
    return _KINDS.get(PurePosixPath(lower).suffix, "files" if known else "")


def _head(place: str) -> bytes:
    try:
        with open_place(place) as file:
            return file.read(HEAD)
    except DataError:  # it is left out, and named
        return b""


def _even(count: Callable[[str], int]) -> Callable[[str, int], Iterator[tuple[int, int]]]:
    def starts(place: str, size: int) -> Iterator[tuple[int, int]]:
        total = count(place)
        return ((first, min(size, total - first)) for first in range(0, total, size))

    return starts


_STARTS: Mapping[str, Callable[[str, int], Iterator[tuple[int, int]]]] = {
    "zip": _even(count_pictures),
    "tar": find_members,
    "parquet": _even(count_rows),
}
"""By kind, where the slices of a file start, and how many pictures each has."""
_READERS = {"zip": read_pictures, "tar": read_members, "parquet": read_rows}


def read_slice(part: Slice, root: str) -> Iterator[Encoded]:
    """The pictures of a slice below a folder or address, in their order.

    Raises:
        DataError: a file is gone or cannot be read: what is wrong with one picture inside an archive is given instead.
        MissingExtra: an address needs a package.
    """
    if part.kind == "files":
        return ((printable(name), read_place(place_of(root, name))) for name in part.names)
    (name,) = part.names
    found = _READERS[part.kind](place_of(root, name), part.first, part.count)
    return ((f"{printable(name)}/{inner}", encoded) for inner, encoded in found)
