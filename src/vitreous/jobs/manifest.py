"""What a run leaves beside its results."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vitreous.files import whole_file

__all__ = ["MANIFEST", "now", "versions", "write_manifest"]

MANIFEST = "manifest.json"


def now() -> str:
    """When a run started, to the second, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions() -> dict[str, str]:
    """The versions that the numbers depend on."""
    packages = ("vitreous", "torch", "torchvision", "timm", "pillow", "numpy")
    return {"python": platform.python_version(), **{package: version(package) for package in packages}}


def write_manifest(folder: Path, values: Mapping[str, Any]) -> None:
    """Write `manifest.json`.

    Raises:
        DataError: the disk says no.
    """
    with whole_file(folder / MANIFEST) as part:
        part.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
