"""What a run over pictures owns of its output folder, and what it found: written as it goes, for the next to take."""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitreous.errors import DataError
from vitreous.files.manifest import MANIFEST, now, write_manifest
from vitreous.files.reading import parse_json, read_bytes, within
from vitreous.files.runs import check_runs, read_runs
from vitreous.files.writing import alone_in, sweep, to_json

__all__ = ["JOURNAL", "Ledger", "common_folder", "full_path", "open_ledger", "outputs_in", "told_from", "written_maps"]

JOURNAL = ".manifest.jsonl"
"""What is not in the manifest yet: a line for the run, for each name that it takes and for each picture."""
_FREE = ("batch_size",)
"""What the results depend on by rounding alone."""
_Values = dict[str, Any]


@dataclass
class Ledger:
    """A run's part of an output folder.

    Attributes:
        folder: that it writes to.
        about: what its results depend on.
        suffixes: of the files that a picture gets.
        old: the manifest that earlier runs left.
        root: the folder that all pictures lie in; outputs keep their places below it.
        names: what outputs are called, by the path of their picture.
        pictures: what became of each, so far.
    """

    folder: Path
    about: _Values
    suffixes: Sequence[str]
    old: _Values
    root: str
    names: dict[str, str] = field(default_factory=dict[str, str])
    pictures: list[_Values] = field(default_factory=list[_Values])

    def __post_init__(self) -> None:
        self.names = {_from(self.folder, path): name for name, path in self.old.get("files", {}).items()}
        same = [run for run in _runs(self.old) if all(run.get(key) == self.about[key] for key in _fixed(self.about))]
        self._whole = {each["name"]: each for run in same for each in run["pictures"] if each.get("name")}
        self._taken = {name.casefold() for name in self.names.values()}
        self._note({"about": self.about})

    def whole(self, picture: Path) -> _Values | None:
        """What an earlier run with the same settings found, if its files and the picture are as they were then."""
        found = self._whole.get(self.names.get(full_path(picture), ""))
        if found is None or found.get("stamp") != _stamp(picture):
            return None
        if not all(self._file(found["name"], suffix).is_file() for suffix in self.suffixes):
            return None
        return {key: _renamed(value, found["file"], str(picture)) for key, value in found.items() if key != "file"}

    def claim(self, picture: Path) -> list[Path]:
        """The files for a picture, which are the run's from now on: its own of an earlier run, or names that are free.

        Raises:
            DataError: the disk says no.
        """
        path = full_path(picture)
        if path not in self.names:
            file, inner = within(Path(path))
            stem = Path(str(file.relative_to(self.root)).removesuffix(".gz")).with_suffix("")
            wanted = str(stem / inner)
            name, number = wanted, 1
            while name.casefold() in self._taken or any(self._exists(name, suffix) for suffix in self.suffixes):
                number += 1
                name = f"{wanted}-{number}"
            self._note({"name": name, "picture": told_from(self.folder, path)})
            self.names[path] = name
            self._taken.add(name.casefold())
        files = [self._file(self.names[path], suffix) for suffix in self.suffixes]
        try:
            files[0].parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(
                f"`{files[0].parent}` cannot be made: {error.strerror}. Choose another output folder."
            ) from None
        return files

    def note(self, picture: Path, found: Mapping[str, Any], *, written: bool) -> None:
        """Keep what became of a picture, and whether its files were written.

        The picture is called by its place from the folder, so that nothing is told of where both lie.

        Raises:
            DataError: the disk says no.
        """
        name = self.names.get(full_path(picture)) if written else None
        file = told_from(self.folder, full_path(picture))
        said = {key: _renamed(value, str(picture), file) for key, value in found.items() if key != "file"}
        about = {"file": file, **said, "name": name, "stamp": _stamp(picture)}
        self.pictures.append(about)
        self._note({"found": about})

    def close(self) -> None:
        """Write the manifest, and end the journal.

        Raises:
            DataError: the disk says no.
        """
        owned = {name: told_from(self.folder, path) for path, name in self.names.items()}
        write_manifest(self.folder, _joined(self.old, self.about, owned, self.pictures))
        (self.folder / JOURNAL).unlink(missing_ok=True)

    def _file(self, name: str, suffix: str) -> Path:
        return self.folder / f"{name}{suffix}"

    def _exists(self, name: str, suffix: str) -> bool:
        return os.path.lexists(self._file(name, suffix))

    def _note(self, line: _Values) -> None:
        try:
            with (self.folder / JOURNAL).open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(to_json(line) + "\n")
        except OSError as error:
            raise DataError(
                f"`{self.folder / JOURNAL}` cannot be written: {error.strerror}. Choose another output folder, or make "
                "room."
            ) from None


@contextmanager
def open_ledger(
    folder: Path, job: str, about: Mapping[str, Any], pictures: Sequence[Path], suffixes: Sequence[str]
) -> Generator[Ledger]:
    """The ledger of a run that has the folder for itself, until the block ends; then the manifest is whole.

    Args:
        folder: for the outputs; it is made.
        job: the command whose folder it is.
        about: what the results depend on.
        pictures: that the run is about. Their outputs keep their places below the folder that all of them lie in.
        suffixes: of the files that each of them gets.

    Raises:
        DataError: somebody else is writing there, or has written the manifest, or the disk says no.
    """
    with alone_in(folder):
        old = _taken_up(folder, job)
        for place in {(folder / name).parent for name in old.get("files", {})} - {folder}:
            sweep(place)
        plain = json.loads(to_json({"job": job, **about}))
        ledger = Ledger(folder, {**plain, "started": now()}, suffixes, old, common_folder(pictures))
        try:
            yield ledger
        finally:
            ledger.close()


def common_folder(files: Sequence[Path]) -> str:
    """The folder that all of them lie in."""
    return os.path.commonpath([within(Path(full_path(each)))[0].parent for each in files] or ["/"])


def full_path(file: Path) -> str:
    """What a file is called from anywhere; links stay."""
    return os.path.normpath(file.absolute())


def outputs_in(folder: Path, job: str, suffixes: Sequence[str]) -> set[str]:
    """The paths of all files that runs of that command own in a folder; none where it is not theirs."""
    try:
        names = _with_journal(folder, job).get("files", {})
    except DataError:
        return set()
    return {full_path(folder / f"{name}{suffix}") for name in names for suffix in suffixes}


def written_maps(folder: Path, manifest: Mapping[str, Any]) -> dict[str, Path]:
    """The numbers that the last run over pictures left in a folder, by the full path of their picture.

    Raises:
        DataError: the manifest is not as a run left it.
    """
    known = check_runs(dict(manifest), folder / MANIFEST)
    names = [each["name"] for each in known["pictures"] if each.get("name") in known["files"]]
    return {_from(folder, known["files"][name]): folder / f"{name}.npz" for name in names}


def told_from(folder: Path, path: str) -> str:
    """A place as the manifest of a folder has it: from there, so that nothing is told of where both lie."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # no way leads from one disk of Windows to another
        return path


def _from(folder: Path, told: str) -> str:
    """The full path of what `told_from` wrote."""
    return full_path(folder / told)


def _renamed(value: Any, before: str, now: str) -> Any:
    return value.replace(f"`{before}`", f"`{now}`") if isinstance(value, str) else value


def _taken_up(folder: Path, job: str) -> _Values:
    """The manifest, once it has what the journal of a run that died says."""
    manifest = _with_journal(folder, job)
    if (folder / JOURNAL).exists():
        if manifest:
            write_manifest(folder, manifest)
        (folder / JOURNAL).unlink()
    return manifest


def _with_journal(folder: Path, job: str) -> _Values:
    manifest = read_runs(folder, job)
    journal = folder / JOURNAL
    if not os.path.lexists(journal):
        return manifest
    remedy = "Move it away, or choose another output folder."
    whole = read_bytes(journal, remedy).rpartition(b"\n")[0]  # a line that death cut short says nothing
    lines = [parse_json(line, f"`{journal}`", remedy) for line in whole.splitlines()]
    if not lines:
        return manifest
    try:
        about, names = lines[0]["about"], [line for line in lines if "name" in line]
        owned = {line["name"]: line["picture"] for line in names}
        joined = _joined(manifest, about, owned, [line["found"] for line in lines if "found" in line])
    except (TypeError, KeyError, AttributeError):
        raise DataError(f"`{journal}` is no journal of a run. {remedy}") from None
    if about.get("job") != job:
        raise DataError(f"`{journal}` is of another command. {remedy}")
    return check_runs(joined, journal)


def _joined(old: _Values, about: _Values, owned: Mapping[str, str], pictures: Sequence[_Values]) -> _Values:
    """The manifest of a run, and below it what earlier runs found of other pictures."""
    again = {each["name"] for each in pictures if each["name"]}
    earlier: list[_Values] = []
    for run in _runs(old):
        left = [each for each in run["pictures"] if each.get("name") and each["name"] not in again]
        earlier += [{**run, "pictures": left}] if left else []
    files = {**old.get("files", {}), **owned}
    return {**about, "pictures": list(pictures), "files": files, "earlier": earlier}


def _runs(manifest: _Values) -> list[_Values]:
    if not manifest:
        return []
    last = {key: value for key, value in manifest.items() if key not in ("files", "earlier")}
    return [last, *manifest["earlier"]]


def _fixed(about: _Values) -> list[str]:
    return [key for key in about if key not in (*_FREE, "started")]


def _stamp(picture: Path) -> list[int] | None:
    """What tells a file, or that which it lies in, from the one that was there before: its size, and its time."""
    try:
        found = within(picture)[0].stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns]
