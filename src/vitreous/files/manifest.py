"""What a run leaves beside its results."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vitreous.errors import DataError
from vitreous.files.writing import alone_at, whole_file

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
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"`{path}` cannot be read: {error}. Choose another output folder.") from None


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
    with whole_file(folder / MANIFEST) as part:
        part.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
