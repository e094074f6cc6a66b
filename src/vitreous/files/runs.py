"""The door for manifests of runs over pictures: whoever goes on from one, or makes something of it, reads it here."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import Any, cast

from vitreous.errors import DataError
from vitreous.files.manifest import MANIFEST, read_own

__all__ = ["check_runs", "read_runs"]

_PLACES = ("name", "sheet", "maps", "page", "numbers")
"""What an entry says of the run's own files: each lies in its folder, or is null."""


def read_runs(folder: Path, job: str) -> dict[str, Any]:
    """The manifest of a command's runs over pictures, as `check_runs` gives it; nothing if there is none.

    Raises:
        DataError: it is another's, cannot be read, or is not as a run left it.
    """
    return check_runs(read_own(folder, job), folder / MANIFEST)


def check_runs(manifest: dict[str, Any], path: Path) -> dict[str, Any]:
    """The manifest, if it is laid out as ours are and no name in it leads out of its folder.

    It has `pictures` and `earlier`, the runs before: lists of entries with the picture's `file`, and the `name` of its
    outputs or null; and `files`, the picture of every name that is the runs' own.

    Raises:
        DataError: it is not.
    """
    if not manifest:
        return {}
    files = manifest.setdefault("files", {})
    earlier = manifest.setdefault("earlier", [])
    inside = isinstance(files, dict) and all(
        isinstance(each, str) and _is_inside(name) for name, each in cast("dict[str, Any]", files).items()
    )
    if not (inside and isinstance(earlier, list) and all(map(_is_run, [manifest, *cast("list[Any]", earlier)]))):
        raise DataError(f"`{path}` is not as a run left it. Move it away, or choose another output folder.")
    return manifest


def _is_run(run: Any) -> bool:
    pictures = cast("Any", run).get("pictures") if isinstance(run, dict) else None
    return isinstance(pictures, list) and all(map(_is_entry, cast("list[Any]", pictures)))


def _is_entry(told: Any) -> bool:
    if not (isinstance(told, dict) and _is_path(told.get("file")) and isinstance(told.get("error"), str | None)):
        return False
    return all(each is None or _is_inside(each) for each in map(cast("Any", told).get, _PLACES))


def _is_inside(name: Any) -> bool:
    place = PurePath(name) if _is_path(name) else PurePath()
    return bool(place.parts) and not place.is_absolute() and ".." not in place.parts


def _is_path(name: Any) -> bool:
    return isinstance(name, str) and "\0" not in name
