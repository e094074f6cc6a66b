"""What a run leaves beside its results."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vitreous.errors import DataError
from vitreous.files.reading import read_json
from vitreous.files.writing import alone_at, write_json

__all__ = ["MANIFEST", "change_manifest", "now", "read_manifest", "versions", "write_manifest"]

MANIFEST = "manifest.json"


def now() -> str:
    """When a run started, to the second, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """The versions that the numbers depend on."""
    packages = ("vitreous", "torch", "torchvision", "timm", "pillow", "numpy")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}


def read_manifest(folder: Path) -> dict[str, Any]:
    """What `manifest.json` says; nothing if there is none.

    Raises:
        DataError: it cannot be read.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    values = read_json(path, "Choose another output folder.")
    if not isinstance(values, dict):
        raise DataError(f"`{path}` is no manifest. Choose another output folder.")
    return values


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
