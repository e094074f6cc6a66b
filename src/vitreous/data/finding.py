"""Picture files by files, folders and patterns, and the frames and slices in them."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from pathlib import Path

from vitreous.data.pictures import SUFFIXES
from vitreous.errors import DataError
from vitreous.files.reading import matches, within
from vitreous.medical.files import is_medical, looks_medical, places

__all__ = ["find_pictures", "left_out"]


def find_pictures(paths: Iterable[str | Path]) -> list[Path]:
    """Picture files named by files, folders (searched to the bottom) and patterns such as "scans/*.png".

    Files come in the order given, those of one folder or pattern sorted, each once. A file that is named itself is
    taken whatever its suffix; elsewhere only `SUFFIXES` count, and hidden files do not.

    Raises:
        DataError: one of the paths leads to no picture.
    """
    return list(dict.fromkeys(found for path in paths for found in _find(Path(path))))


def left_out(paths: Iterable[str | Path], found: Iterable[Path]) -> list[Path]:
    """What lies in the folders among the paths and is not found: files, pipes and the like, links to nothing.

    Hidden ones do not count.
    """
    known = {within(file)[0] for file in found}
    inside = (file for path in paths if Path(path).is_dir() for file in sorted(Path(path).rglob("*")))
    return [file for file in inside if file.name[0] != "." and not file.is_dir() and file not in known]


def _find(path: Path) -> list[Path]:
    if is_medical(path):
        return places(path)
    if path.is_file():
        return [path]
    if path.exists() and not path.is_dir():
        raise DataError(f"`{path}` is a pipe, a socket or a device, and no file. Write the picture to a file first.")
    if path.is_dir():
        candidates: Iterator[Path] = path.rglob("*")
    elif glob.has_magic(str(path)):
        candidates = matches(path)
    else:
        raise DataError(f"there is no file or folder `{path}`. Check the path.")
    found = sorted(each for each in candidates if each.name[0] != "." and each.is_file() and _taken(each))
    if not found:
        raise DataError(f"`{path}` leads to no picture. Known are files that end with {', '.join(SUFFIXES)}.")
    return found


def _taken(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES or looks_medical(file)
