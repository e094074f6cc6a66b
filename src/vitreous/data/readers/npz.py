"""The npz archives that `vitreous train` reads, with boxes where they have them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image

from vitreous.data.labelled import SPLITS, LabelledPictures, load_split
from vitreous.data.samples import Boxes, Entry, Samples
from vitreous.errors import DataError

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
    with np.load(path, allow_pickle=False) as file:
        if "split" in file.files:
            rows = np.flatnonzero(file["split"] == SPLITS.index(split))
            labels, boxes = file["label"][rows], _boxes(path, file)
        else:
            rows, labels, boxes = np.arange(len(pictures)), file[f"{split}_labels"].ravel(), {}
    entries = [
        Entry(f"{split}/{row}", partial(_picture, pictures, at), int(label), boxes.get(row))
        for at, (row, label) in enumerate(zip(rows.tolist(), labels, strict=True))
    ]
    return Samples(f"npz:{path}:{split}", pictures.class_names, entries)


def _boxes(path: Path, file: Any) -> dict[int, Boxes]:
    """By picture of the archive that has one, its box, right and bottom exclusive."""
    if "box" not in file.files:
        return {}
    box, count = file["box"], len(file["split"])
    if box.shape != (count, 4):
        raise DataError(f"`box` in {path} is {box.shape}. Give left, top, right, bottom for every picture.")
    valid = file["box_valid"] if "box_valid" in file.files else np.ones(count, bool)
    return {row: _exclusive(box[row]) for row in np.flatnonzero(valid).tolist()}


def _picture(pictures: LabelledPictures, at: int) -> Image:
    return pictures[at][0]


def _exclusive(box: Any) -> Boxes:
    return np.asarray(box, np.float64)[None] + np.array([0, 0, 1, 1])
