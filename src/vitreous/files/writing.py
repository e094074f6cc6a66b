"""Files that appear whole or not at all, folders that they can be written to, and one process at a time at either."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

from vitreous.errors import DataError

__all__ = ["alone_at", "alone_in", "check_writable", "sweep", "to_json", "whole_file", "write_json"]

_PART, _HELD = ".part-", ".held"
_NUMBERS = re.compile(r"\[\n([-+.,eE\d\s]*)\]")  # no text of JSON holds a line break


@contextmanager
def whole_file(path: Path) -> Generator[Path]:
    """A place beside `path` to write a file or a folder to; it takes the place of `path` when the block ends well.

    Raises:
        DataError: the disk says no, or the file's suffix names no format.
    """
    from filelock import FileLock

    try:
        # in a folder of its own, so that it is nobody's file, keeps its suffix and is no longer a name; held, so that
        # what a process leaves that dies is told from what another one is writing
        with (
            TemporaryDirectory(prefix=_PART, dir=path.parent, ignore_cleanup_errors=True) as folder,
            FileLock(Path(folder, _HELD), thread_local=False),
        ):
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
        # names that are no text come out as JSON escapes them
        part.write_text(to_json(values, indent=1) + "\n", encoding="utf-8", errors="backslashreplace")


def to_json(values: object, *, indent: int | None = None) -> str:
    """Values as JSON; NaN and infinity become null. Numbers of a list stand on one line."""
    text = json.dumps(_finite(values), indent=indent, ensure_ascii=False, allow_nan=False)
    return _NUMBERS.sub(lambda row: f"[{' '.join(row[1].split())}]", text)


def sweep(folder: Path) -> None:
    """Remove the parts of files that a process left there when it died."""
    from filelock import FileLock, Timeout

    for left in folder.glob(f"{_PART}*"):
        with suppress(Timeout, OSError):  # another one is writing it, or it is no such folder
            if (left / _HELD).is_file():
                with FileLock(left / _HELD, timeout=0):
                    pass
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.rmdir()  # it died before it held its part: the folder is empty


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


@contextmanager
def alone_in(folder: Path) -> Generator[None]:
    """Nobody else who asks for the folder gets it until the block ends or its process dies. It is made, and swept.

    Raises:
        DataError: somebody else has it, or it cannot be written to.
    """
    from filelock import FileLock, Timeout

    check_writable(folder)
    lock = FileLock(folder / ".lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise DataError(
            f"another run is writing to `{folder}`. Wait until it has ended, or choose another output folder."
        ) from None
    except OSError as error:
        raise _refused(lock.lock_file, error) from None
    try:
        sweep(folder)
        yield
    finally:
        lock.release()


def check_writable(folder: Path) -> None:
    """Make the output folder, and make sure that files can be written there.

    Raises:
        DataError: they cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:  # the latter of a name with a zero in it
        raise _refused(folder, error) from None


def _finite(values: Any) -> Any:
    if isinstance(values, float):
        return values if math.isfinite(values) else None
    if isinstance(values, Mapping):
        return {key: _finite(each) for key, each in values.items()}
    return [_finite(each) for each in values] if isinstance(values, list | tuple) else values


def _refused(place: Path | str, error: Exception) -> DataError:
    return DataError(
        f"`{place}` cannot be written: {getattr(error, 'strerror', None) or error}. Choose another output folder."
    )
