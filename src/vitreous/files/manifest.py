"""What a run leaves beside its results."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from vitreous.errors import DataError
from vitreous.files.reading import check_file, read_json
from vitreous.files.writing import alone_at, write_json

__all__ = [
    "MANIFEST",
    "change_manifest",
    "check_own_file",
    "claim",
    "digest_of",
    "now",
    "read_manifest",
    "read_own",
    "versions",
    "write_manifest",
]

MANIFEST = "manifest.json"


def now() -> str:
    """When a run started, to the second, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """The versions that the numbers depend on."""
    packages = ("vitreous", "torch", "torchvision", "timm", "pillow", "numpy")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}


def digest_of(file: Path) -> str:
    """The SHA-256 of a file that a run reads, by which it is known again.

    Raises:
        DataError: there is none.
    """
    check_file(file, "Put it back, or give another.")
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def read_manifest(folder: Path, remedy: str = "Choose another output folder.") -> dict[str, Any]:
    """What `manifest.json` says; nothing if there is none. `remedy` is what helps where it cannot be read.

    Raises:
        DataError: it cannot be read.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    values = read_json(path, remedy)
    if not isinstance(values, dict):
        raise DataError(f"`{path}` is no manifest. {remedy}")
    return values


def read_own(folder: Path, job: str) -> dict[str, Any]:
    """What `manifest.json` says, if that command wrote it; nothing if there is none.

    Raises:
        DataError: it is another's, or cannot be read.
    """
    values = read_manifest(folder)
    if (folder / MANIFEST).exists() and values.get("job") != job:
        whose = f"of `{values['job']}`" if isinstance(values.get("job"), str) else "of no command of vitreous"
        raise DataError(f"`{folder / MANIFEST}` is {whose}, not of `{job}`. Choose another output folder.")
    return values


def claim(folder: Path, job: str, names: Sequence[str], *, begun: bool = False) -> None:
    """Say in the manifest that files of these names are that command's.

    Args:
        folder: where they lie or will lie.
        job: the command.
        names: of the files and folders, in the folder.
        begun: whether it is known otherwise that the command began its work there.

    Raises:
        DataError: there is one already and it is not in the manifest, or the manifest is another's.
    """

    def changed(values: dict[str, Any]) -> dict[str, Any]:
        known = values.get("files", [])
        if not (isinstance(known, list) and all(isinstance(name, str) for name in cast("list[object]", known))):
            raise DataError(f"`files` in `{folder / MANIFEST}` is no list of names. Choose another output folder.")
        for name in names:
            if not begun and name not in known and os.path.lexists(folder / name):
                raise DataError(
                    f"`{folder / name}` is there already, and no `{job}` wrote it. Move it away, or choose another "
                    "output folder."
                )
        return {**values, "job": job, "files": sorted({*known, *names})}

    read_own(folder, job)
    change_manifest(folder, changed)


def check_own_file(path: Path, job: str) -> None:
    """Refuse to write over a file that is no JSON of that command's, which says so under `job`.

    Raises:
        DataError: it is something else.
    """
    if not os.path.lexists(path):
        return
    remedy = "Move it away, or choose another output."
    values = read_json(path, remedy)
    if not isinstance(values, dict) or values.get("job") != job:
        raise DataError(f"`{path}` is there already, and no `{job}` wrote it. {remedy}")


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], Mapping[str, Any]]) -> None:
    """Write what `change` makes of `manifest.json`. Processes that change it at the same time do so one by one.

    Raises:
        DataError: it cannot be read or written.
    """
    with alone_at(folder / MANIFEST):
        write_manifest(folder, change(read_manifest(folder)))


def write_manifest(folder: Path, values: Mapping[str, Any]) -> None:
    """Write `manifest.json`.

    Raises:
        DataError: the disk says no.
    """
    write_json(folder / MANIFEST, values)
