"""Labelled pictures in an npz archive: of encoded files, or one of MedMNIST."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitreous.data.pictures import decode_picture
from vitreous.data.root import Root
from vitreous.data.rows import read_rows
from vitreous.errors import DataError
from vitreous.files.arrays import Arrays, open_arrays
from vitreous.files.reading import is_zip
from vitreous.shapes import MOST_CLASSES

__all__ = ["SPLITS", "ArchiveSplit", "ArraySplit", "read_archive"]

SPLITS = ("train", "val", "test")
"""What there is to train, validate and test with; only some data sets have the last."""


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


def read_archive(path: Path) -> Mapping[str, ArchiveSplit | ArraySplit]:
    """The splits of an archive, as `load_labelled` takes it.

    Raises:
        DataError: it is none.
    """
    if not is_zip(path):
        raise DataError(f"{path} is no npz archive. Give one, or a folder with `train` and `val`.")
    with open_arrays(path, "See `vitreous train --help`.") as file:
        given = [str(name) for name in file["classes"].ravel()] if "classes" in file else _names_beside(path)
        return _medmnist(path, file, given) if "train_images" in file else _archive(path, file, given)


def _archive(path: Path, file: Arrays, given: Sequence[str] | None) -> dict[str, ArchiveSplit]:
    jpeg, offset, label, split = (file[name] for name in ("jpeg", "offset", "label", "split"))
    rows = jpeg.ndim == offset.ndim == split.ndim == 1
    if not (rows and jpeg.dtype == np.uint8 and offset.dtype.kind in "iu" and split.dtype.kind in "buif"):
        raise DataError(
            f"{path} has `jpeg` {jpeg.dtype} {jpeg.shape}, `offset` {offset.dtype} {offset.shape} and `split` "
            f"{split.dtype} {split.shape}. Give bytes, and whole numbers in rows."
        )
    labels, offset = _labels(path, label), offset.astype(np.int64)
    apart = len(offset) - 1 == len(labels) == len(split) and offset[0] >= 0 and bool((np.diff(offset) >= 0).all())
    if not apart or offset[-1] != len(jpeg):
        raise DataError(
            f"{path} has {len(labels)} labels, {len(split)} splits and {len(offset)} offsets into {len(jpeg)} bytes. "
            "Give one label and split per picture, and where each picture starts, then where the last one ends."
        )
    for part, meaning in enumerate(("train", "validate")):
        if not (split == part).any():
            raise DataError(f"{path} has no picture to {meaning} with. Set `split` to {part} for some.")
    names = _class_names(path, labels, given)
    rows = {name: np.flatnonzero(split == part) for part, name in enumerate(SPLITS)}
    return {name: ArchiveSplit(jpeg, offset, labels, chosen, names) for name, chosen in rows.items() if len(chosen)}


def _medmnist(path: Path, file: Arrays, given: Sequence[str] | None) -> dict[str, ArraySplit]:
    """Pixels in `train_images`, (n, h, w) gray or (n, h, w, 3) RGB, and `train_labels`, (n, 1); `val` and `test`."""
    found = {split: (file[f"{split}_images"], file[f"{split}_labels"]) for split in SPLITS}
    for split, (images, labels) in found.items():
        pixels = images.dtype == np.uint8 and (images.ndim == 3 or images.shape[3:] == (3,))
        if not pixels or 0 in images.shape or len(images) != labels.size:
            raise DataError(
                f"{path} has {split} images {images.dtype} {images.shape} and labels {labels.shape}. "
                "Give 8-bit pictures, gray or RGB, with one label each."
            )
    labelled = {split: (images, _labels(path, labels)) for split, (images, labels) in found.items()}
    names = _class_names(path, np.concatenate([labels for _, labels in labelled.values()]), given)
    return {split: ArraySplit(images, labels, names) for split, (images, labels) in labelled.items()}


def _labels(path: Path, label: Any) -> NDArray[np.int64]:
    """One whole number per picture.

    Raises:
        DataError: they are none.
    """
    fits = label.dtype.kind in "buif" and bool(np.isfinite(label).all())
    if not fits or (label != np.trunc(label)).any() or (np.abs(label.astype(np.float64)) >= MOST_CLASSES).any():
        raise DataError(
            f"{path} has labels {label.dtype} that are no indices of classes. Give whole numbers from 0, and below "
            f"{MOST_CLASSES:,}."
        )
    return label.ravel().astype(np.int64)


def _class_names(path: Path, label: NDArray[np.int64], given: Sequence[str] | None) -> tuple[str, ...]:
    """The names given, or "class 0" and so on."""
    least, most = (int(label.min()), int(label.max())) if len(label) else (0, -1)
    count = most + 1 if given is None else len(given)
    if least < 0 or most >= count:
        raise DataError(
            f"{path} has labels from {least} to {most} and {count} class names. "
            "Name every class, and count them from 0."
        )
    return tuple(f"class {at}" for at in range(count)) if given is None else tuple(given)


def _names_beside(path: Path) -> list[str] | None:
    """The names in classes.csv, whose labels are 0, 1, 2 and so on, in any order."""
    table = path.with_name("classes.csv")
    if not table.is_file():
        return None
    rows = list(read_rows(Root(path.parent), table.name, ("label", "words")))
    names = {row.label("label"): row["words"].split(",")[0].strip() for row in rows}
    if len(names) < len(rows) or sorted(names) != list(range(len(names))):
        found = ", ".join(row["label"].strip() for row in rows[:5]) + (", …" if len(rows) > 5 else "")
        raise DataError(
            f"`{table}` has the labels {found}, so that names would go to other classes. "
            f"Give each label from 0 to {len(rows) - 1} once."
        )
    return [names[at] for at in range(len(names))]
