"""Labelled pictures: an npz archive of encoded files, one of MedMNIST, or a folder of folders."""

from __future__ import annotations

import csv
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from vitreous.data.pictures import decode_picture, find_pictures, open_picture
from vitreous.data.torchvision_sets import load_torchvision
from vitreous.errors import DataError, UnknownName

__all__ = ["SPLITS", "ArchiveSplit", "ArraySplit", "FolderSplit", "LabelledPictures", "load_labelled", "load_split"]

SPLITS = ("train", "val", "test")
"""What `load_split` knows; only some data sets have a test split."""


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
class ArchiveSplit:
    """Part of an npz archive whose `jpeg` holds encoded files one after another, file i at offset[i]:offset[i+1]."""

    jpeg: Any
    offset: Any
    label: Any
    rows: Any
    class_names: tuple[str, ...]

    @property
    def labels(self) -> Sequence[int]:
        """The index of each picture's class."""
        return self.label[self.rows].tolist()

    def __len__(self) -> int:
        """How many there are."""
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        """One RGB picture and the index of its class."""
        row = self.rows[index]
        encoded = self.jpeg[self.offset[row] : self.offset[row + 1]].tobytes()
        return decode_picture(encoded, f"picture {row} of the archive"), int(self.label[row])


@dataclass(frozen=True)
class ArraySplit:
    """Part of an archive of MedMNIST, whose pictures are pixels: (pictures, height, width) or (…, 3)."""

    images: Any
    label: Any
    class_names: tuple[str, ...]

    @property
    def labels(self) -> Sequence[int]:
        """The index of each picture's class."""
        return self.label.tolist()

    def __len__(self) -> int:
        """How many there are."""
        return len(self.label)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        """One RGB picture and the index of its class."""
        return Image.fromarray(self.images[index]).convert("RGB"), int(self.label[index])


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
        path, label = self.files[index]
        return open_picture(path), label


def load_labelled(place: Path | str) -> tuple[LabelledPictures, LabelledPictures, str]:
    """The training and validation pictures of a data set, and its fingerprint.

    Args:
        place: an npz archive (`jpeg`, `offset`, `label`, `split` 0 for training, 1 for validation and 2 for testing;
            class names in `classes` or in the column `words` of a classes.csv beside it), an npz archive of MedMNIST
            (class names likewise), a folder with `train` and `val` and perhaps `test`, each with one folder per class,
            or "torchvision:NAME:FOLDER" for a set of torchvision's.

    Returns:
        training pictures, validation pictures, SHA-256 of the archive or of the folder's file names and sizes.

    Raises:
        DataError: there is nothing there, or its layout is another.
    """
    splits, fingerprint = _load(place)
    return splits["train"], splits["val"], fingerprint


def load_split(place: Path | str, split: str) -> tuple[LabelledPictures, str]:
    """One split, "train", "val" or "test", of what `load_labelled` reads, and the fingerprint.

    Raises:
        UnknownName: there is no such split.
        DataError: there is nothing there, or its layout is another.
    """
    splits, fingerprint = _load(place)
    if split not in splits:
        raise UnknownName("split", split, splits)
    return splits[split], fingerprint


def _load(place: Path | str) -> tuple[Mapping[str, LabelledPictures], str]:
    kind, _, rest = str(place).partition(":")
    name, _, root = rest.partition(":")
    if kind == "torchvision":
        train, val, fingerprint = load_torchvision(name, root)
        return {"train": train, "val": val}, fingerprint
    path = Path(place)
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise DataError(f"there is no data set at {path}. Give an npz archive or a folder with `train` and `val`.")
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is no npz archive. Give one, or a folder with `train` and `val`.")
    try:
        with np.load(path, allow_pickle=False) as file:
            given = [str(name) for name in file["classes"]] if "classes" in file.files else _names_beside(path)
            read = _medmnist if "train_images" in file.files else _archive
            splits = read(path, file, given)
    except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} is no archive of labelled pictures: {error}. See `vitreous train --help`.") from None
    return splits, hashlib.sha256(path.read_bytes()).hexdigest()


def _archive(path: Path, file: Any, given: Sequence[str] | None) -> dict[str, LabelledPictures]:
    jpeg, offset, label, split = (file[name] for name in ("jpeg", "offset", "label", "split"))
    if not len(offset) - 1 == len(label) == len(split) or offset[-1] != len(jpeg):
        raise DataError(
            f"{path} has {len(label)} labels, {len(split)} splits and {len(offset)} offsets into {len(jpeg)} bytes. "
            "Give one label and split per picture, and where each picture starts, then where the last one ends."
        )
    for part, meaning in enumerate(("train", "validate")):
        if not (split == part).any():
            raise DataError(f"{path} has no picture to {meaning} with. Set `split` to {part} for some.")
    names = _class_names(path, label, given)
    rows = {name: np.flatnonzero(split == part) for part, name in enumerate(SPLITS)}
    return {name: ArchiveSplit(jpeg, offset, label, its, names) for name, its in rows.items() if len(its)}


def _medmnist(path: Path, file: Any, given: Sequence[str] | None) -> dict[str, LabelledPictures]:
    """Pixels in `train_images`, (n, h, w) gray or (n, h, w, 3) RGB, and `train_labels`, (n, 1); `val` and `test`."""
    found = {split: (file[f"{split}_images"], file[f"{split}_labels"]) for split in SPLITS}
    for split, (images, labels) in found.items():
        pixels = images.dtype == np.uint8 and (images.ndim == 3 or images.shape[3:] == (3,))
        if not pixels or not 0 < len(images) == labels.size:
            raise DataError(
                f"{path} has {split} images {images.dtype} {images.shape} and labels {labels.shape}. "
                "Give 8-bit pictures, gray or RGB, with one label each."
            )
    names = _class_names(path, np.concatenate([labels.ravel() for _, labels in found.values()]), given)
    return {split: ArraySplit(images, labels.ravel(), names) for split, (images, labels) in found.items()}


def _class_names(path: Path, label: Any, given: Sequence[str] | None) -> tuple[str, ...]:
    """The names given, or "class 0" and so on."""
    names = tuple(given or (f"class {at}" for at in range(int(label.max()) + 1)))
    if label.min() < 0 or label.max() >= len(names):
        raise DataError(
            f"{path} has labels from {label.min()} to {label.max()} and {len(names)} class names. "
            "Name every class, and count them from 0."
        )
    return names


def _names_beside(path: Path) -> list[str] | None:
    table = path.with_name("classes.csv")
    if not table.is_file():
        return None
    with table.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if missing := {"label", "words"} - set(reader.fieldnames or ()):
            raise DataError(f"{table} has no column `{min(missing)}`. Give the columns `label` and `words`.")
        rows = sorted(reader, key=lambda row: int(row["label"]))
    return [row["words"].split(",")[0].strip() for row in rows]


def _folder(path: Path) -> tuple[Mapping[str, LabelledPictures], str]:
    for part in ("train", "val"):
        if not (path / part).is_dir():
            raise DataError(f"{path} has no folder `{part}`. Lay it out as train/CLASS/*.jpg and val/CLASS/*.jpg.")
    names = tuple(sorted(folder.name for folder in (path / "train").iterdir() if folder.is_dir()))
    digest = hashlib.sha256()
    splits: dict[str, LabelledPictures] = {}
    for part in SPLITS:
        if not (path / part).is_dir():
            continue
        found = {folder.name for folder in (path / part).iterdir() if folder.is_dir()}
        if extra := sorted(found - set(names)):
            raise DataError(f"{path / part} has a class that `train` lacks: {extra[0]}. Use the same class folders.")
        files = [(file, names.index(name)) for name in sorted(found) for file in find_pictures([path / part / name])]
        if not files:
            raise DataError(f"{path / part} has no class folders. Lay it out as {part}/CLASS/*.jpg.")
        if part != "test":  # a run may be resumed after the test pictures came
            for file, _ in files:
                digest.update(f"{file.relative_to(path)} {file.stat().st_size}\n".encode())
        splits[part] = FolderSplit(files, names)
    return splits, digest.hexdigest()
