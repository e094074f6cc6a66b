"""Files that appear whole or not at all, folders that they can be written to, and one process at a time at either."""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vitreous.errors import DataError

__all__ = ["alone_at", "check_writable", "whole_file", "write_json"]


@contextmanager
def whole_file(path: Path) -> Generator[Path]:
    """A place beside `path` to write to; it takes the place of `path` when the block ends well.

    Raises:
        DataError: the disk says no, or the file's suffix names no format.
    """
    try:
        # in a folder of its own, so that it is nobody's file, keeps its suffix and is no longer a name
        with TemporaryDirectory(prefix=".part-", dir=path.parent, ignore_cleanup_errors=True) as folder:
            part = Path(folder, path.name)
            yield part
            part.replace(path)
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or error
        raise DataError(f"`{path}` cannot be written: {reason}. Choose another place or name, or make room.") from None


def write_json(path: Path, values: object) -> None:
    """Write values as JSON, which knows neither NaN nor infinity: they become null.

    Raises:
        DataError: the disk says no.
    """
    with whole_file(path) as part:
        text = json.dumps(_finite(values), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        # names that are no text come out as JSON escapes them
        part.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextmanager
def alone_at(path: Path) -> Generator[None]:
    """Others who ask for the same path wait until the block ends, or until the process that is in it has died.

    Raises:
        DataError: the disk says no.
    """
    from filelock import FileLock

    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire()
    except OSError as error:
        raise _refused(lock.lock_file, error) from None
    try:
        yield
    finally:
        lock.release()


def check_writable(folder: Path) -> None:
    """Make the output folder, and make sure that files can be written there.

    Raises:
        DataError: they cannot.
    """
    trial = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.touch()
        trial.unlink(missing_ok=True)
    except OSError as error:
        raise _refused(folder, error) from None


def _finite(values: Any) -> Any:
    if isinstance(values, float):
        return values if math.isfinite(values) else None
    if isinstance(values, Mapping):
        return {key: _finite(each) for key, each in values.items()}
    return [_finite(each) for each in values] if isinstance(values, list | tuple) else values


def _refused(place: Path | str, error: OSError) -> DataError:
    return DataError(f"`{place}` cannot be written: {error.strerror or error}. Choose another output folder.")
