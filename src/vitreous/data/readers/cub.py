"""Caltech-UCSD Birds 200-2011."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from vitreous.data.readers.folder import load_mask, load_picture
from vitreous.data.root import Root, Stored
from vitreous.data.samples import Entry, Samples, as_boxes
from vitreous.errors import DataError, UnknownName

__all__ = ["read_cub"]

_SPLITS = {"test": "0", "train": "1"}


def read_cub(path: Path, split: str) -> Samples:
    """The folder CUB_200_2011 with its text files, `images` and, for masks, `segmentations` put into it.

    The split is `test` unless `train` is asked for. A mask holds the pixels that at least one annotator marked.

    Raises:
        UnknownName: there is no such split.
        DataError: nothing is there, or its layout is another.
    """
    root, split = Root(path), split or "test"
    if split not in _SPLITS:
        raise UnknownName("split", split, _SPLITS)
    if "images.txt" not in root.files:
        raise DataError(f"`{path}` has no file `images.txt`. Give the folder CUB_200_2011 itself.")
    files, labels = _column(root, "images.txt"), _column(root, "image_class_labels.txt")
    boxes, part = _column(root, "bounding_boxes.txt"), _column(root, "train_test_split.txt")
    classes = [name.partition(".")[2].replace("_", " ") for name in _column(root, "classes.txt").values()]
    entries: list[Entry] = []
    for number, file in files.items():
        if not PurePosixPath(file).name:
            raise DataError(f"`images.txt` in `{path}` has no file for image {number!r}. Copy it again.")
        if missing := [
            table
            for table, column in (
                ("image_class_labels.txt", labels),
                ("bounding_boxes.txt", boxes),
                ("train_test_split.txt", part),
            )
            if number not in column
        ]:
            raise DataError(f"`{missing[0]}` in `{path}` says nothing of image {number}. Copy it again.")
        if part[number] != _SPLITS[split]:
            continue
        try:
            label = int(labels[number]) - 1
            x, y, width, height = map(float, boxes[number].split())
        except ValueError:
            raise DataError(
                f"image {number} in `{path}` has no label or no four numbers for a box. Copy it again."
            ) from None
        mask = f"segmentations/{PurePosixPath(file).with_suffix('.png')}"
        entries.append(
            Entry(
                file,
                Stored(load_picture, root, f"images/{file}"),
                label,
                as_boxes([[x, y, x + width, y + height]], file),
                Stored(load_mask, root, mask) if mask in root.files else None,
            )
        )
    return Samples(f"cub:{path}:{split}", tuple(classes), entries)


def _column(root: Root, name: str) -> dict[str, str]:
    """What a text file says of each number."""
    rows = [line.strip().partition(" ") for line in root.text(name).splitlines() if line.strip()]
    return {number: value.strip() for number, _, value in rows}
