"""Labelled pictures: an npz archive of encoded files, one of MedMNIST, or a folder of folders."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from PIL import Image

from vitreous.data.archives import read_archive
from vitreous.data.finding import find_pictures
from vitreous.data.pictures import open_picture
from vitreous.data.torchvision_sets import load_torchvision
from vitreous.errors import DataError, UnknownName
from vitreous.files.manifest import digest_of
from vitreous.files.names import printable

__all__ = [
    "MASKS",
    "FolderSplit",
    "LabelledPictures",
    "load_labelled",
    "load_split",
]

MASKS = "masks"
"""The folder beside the class folders that holds their masks, as `read_folder` takes them."""
_FOLDERS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
"""What the folders of each are called."""


@runtime_checkable
class LabelledPictures(Protocol):
    """Pictures with a class each."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """One per class, in order."""
        ...

    @property
    def labels(self) -> Sequence[int]:
        """The index of each picture's class."""
        ...

    def __len__(self) -> int:
        """How many there are."""
        ...

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        """One RGB picture and the index of its class."""
        ...


@dataclass(frozen=True)
class FolderSplit:
    """A folder with one folder of pictures per class."""

    files: Sequence[tuple[Path, int]]
    class_names: tuple[str, ...]

    @property
    def labels(self) -> Sequence[int]:
        """The index of each picture's class."""
        return [label for _, label in self.files]

    def __len__(self) -> int:
        """How many there are."""
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        """One RGB picture and the index of its class."""
        return open_picture(self.files[index][0]), self.files[index][1]


def load_labelled(place: Path | str) -> tuple[LabelledPictures, LabelledPictures, str]:
    """The training and validation pictures of a data set, and its fingerprint.

    Args:
        place: an npz archive (`jpeg`, `offset`, `label`, `split` 0 for training, 1 for validation and 2 for testing;
            class names in `classes` or in the column `words` of a classes.csv beside it), an npz archive of MedMNIST
            (class names likewise), a folder with `train` and `val` (or `valid`, `validation`) and perhaps `test`, each
            with one folder per class, or "torchvision:NAME:FOLDER" for a set of torchvision's.

    Returns:
        training pictures, validation pictures, SHA-256 of the archive, or of the names, sizes and times of the folder's
        files.

    Raises:
        DataError: there is nothing there, or its layout is another.
    """
    splits, fingerprint = _load(place, ("train", "val"))
    return splits["train"], splits["val"], fingerprint


def load_split(place: Path | str, split: str) -> tuple[LabelledPictures, str]:
    """One split, "train", "val" (or "valid", "validation") or "test", of what `load_labelled` reads, its fingerprint.

    Of a folder, the others need not be there.

    Raises:
        UnknownName: there is no such split.
        DataError: there is nothing there, or its layout is another.
    """
    split = next((known for known, names in _FOLDERS.items() if split in names), split)
    splits, fingerprint = _load(place, (split,) if split in _FOLDERS else ())
    if split not in splits:
        raise UnknownName("split", split, splits)
    return splits[split], fingerprint


def _load(place: Path | str, needed: Sequence[str]) -> tuple[Mapping[str, LabelledPictures], str]:
    kind, _, rest = str(place).partition(":")
    name, _, root = rest.partition(":")
    if kind == "torchvision":
        train, val, fingerprint = load_torchvision(name, root)
        return {"train": train, "val": val}, fingerprint
    path = Path(place)
    if path.is_dir():
        return _folder(path, needed)
    if not path.is_file():
        raise DataError(f"there is no data set at {path}. Give an npz archive or a folder with `train` and `val`.")
    splits = read_archive(path)
    return splits, digest_of(path)


def _folder(path: Path, needed: Sequence[str]) -> tuple[Mapping[str, LabelledPictures], str]:
    folders = {split: [path / name for name in names if (path / name).is_dir()] for split, names in _FOLDERS.items()}
    for split in needed:
        if not folders[split]:
            layout = " and ".join(f"{name}/CLASS/*.jpg" for name in needed)
            raise DataError(f"{path} has no folder `{split}`. Lay it out as {layout}.")
    for found in folders.values():
        if len(found) > 1:
            both = " and ".join(f"`{folder.name}`" for folder in found)
            raise DataError(f"{path} has {both}, and either could be the one to validate with. Move one elsewhere.")
    there = [folder for found in folders.values() for folder in found]
    ruling = folders["train"] or there
    names = tuple(sorted(set[str]().union(*map(_class_folders, ruling))))
    digest = hashlib.sha256()
    splits: dict[str, LabelledPictures] = {}
    for split, (folder, *_) in ((split, found) for split, found in folders.items() if found):
        found = _class_folders(folder)
        if extra := sorted(found - set(names)):
            raise DataError(f"{folder} has a class that `train` lacks: {extra[0]}. Use the same class folders.")
        files = [(file, names.index(name)) for name in sorted(found) for file in find_pictures([folder / name])]
        if not files:
            raise DataError(f"{folder} has no class folders. Lay it out as {folder.name}/CLASS/*.jpg.")
        if split != "test" or there == [folder]:  # a run may be resumed after the test pictures came
            for file, _ in files:
                about = file.stat()
                told = f"{file.relative_to(path)} {about.st_size} {about.st_mtime_ns}\n"
                digest.update(told.encode(errors="surrogateescape"))
        splits[split] = FolderSplit(files, tuple(map(printable, names)))
    return splits, digest.hexdigest()


def _class_folders(path: Path) -> set[str]:
    """The names of the folders in it, but for a folder of masks laid out as they are."""
    found = {folder.name for folder in path.iterdir() if folder.is_dir()}
    masks = path / MASKS
    if MASKS in found and all(inner.is_dir() and inner.name in found for inner in masks.iterdir()):
        found.remove(MASKS)
    return found
