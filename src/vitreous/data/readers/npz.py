"""The npz archives that `vitreous train` reads, with boxes where they have them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image

from vitreous.data.archives import ArchiveSplit
from vitreous.data.labelled import LabelledPictures, load_split
from vitreous.data.root import Root
from vitreous.data.samples import Boxes, Entry, Samples, as_boxes
from vitreous.errors import DataError
from vitreous.files.arrays import Arrays, open_arrays

__all__ = ["read_npz"]


def read_npz(path: Path, split: str) -> Samples:
    """An archive as `vitreous train` reads it, MedMNIST's among them; the split is `val` unless another is asked for.

    Its `box`, (pictures, 4), if any, holds left, top, right, bottom with the right and bottom pixels inside; where
    `box_valid` is False, there is none.

    Raises:
        UnknownName: there is no such split.
        DataError: nothing is there, or its layout is another.
    """
    split = split or "val"
    if path.is_dir():
        raise DataError(f"`{path}` is a folder. Give an npz archive, or name it folder:{path}.")
    pictures, _ = load_split(path, split)
    rows, boxes = list(range(len(pictures))), dict[int, Boxes]()
    if isinstance(pictures, ArchiveSplit):
        rows = pictures.rows.tolist()
        with open_arrays(path, "Save it again.") as file:
            boxes = _boxes(path, file, len(pictures.label))
    entries = [
        Entry(f"{split}/{row}", partial(_picture, pictures, at), label, boxes.get(row))
        for at, (row, label) in enumerate(zip(rows, pictures.labels, strict=True))
    ]
    return Samples(f"npz:{path}:{split}", pictures.class_names, entries, ((Root(path.parent), path.name),))


def _boxes(path: Path, file: Arrays, count: int) -> dict[int, Boxes]:
    """By picture of the archive that has one, its box, right and bottom exclusive."""
    if "box" not in file:
        return {}
    box, valid = file["box"], file["box_valid"] if "box_valid" in file else np.ones(count, bool)
    if box.shape != (count, 4) or box.dtype.kind not in "iuf" or valid.shape != (count,):
        raise DataError(
            f"`box` in {path} is {box.dtype} {box.shape} for {count} pictures, {valid.shape} of them valid. "
            "Give left, top, right, bottom for every picture."
        )
    return {row: as_boxes(_exclusive(box[row]), f"{path}, picture {row}") for row in np.flatnonzero(valid).tolist()}


def _picture(pictures: LabelledPictures, at: int) -> Image:
    return pictures[at][0]


def _exclusive(box: Any) -> list[list[float]]:
    return (np.asarray(box, np.float64)[None] + np.array([0, 0, 1, 1])).tolist()
