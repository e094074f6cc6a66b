"""Class folders, with boxes in a table and masks in a folder where there are any."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from warnings import warn

from PIL.Image import Image

from vitreous.data import labelled
from vitreous.data.pictures import decode_mask, decode_picture
from vitreous.data.root import Root, Stored
from vitreous.data.rows import read_rows
from vitreous.data.samples import Boxes, Entry, Mask, Samples, as_boxes
from vitreous.errors import DataError, ExplainWarning

__all__ = ["BOXES", "MASKS", "load_mask", "load_picture", "read_boxes", "read_folder"]

BOXES = "boxes.csv"
MASKS = f"{labelled.MASKS}/"


def read_folder(path: Path, split: str) -> Samples:
    """One folder of pictures per class: CLASS/….jpg, or SPLIT/CLASS/….jpg, which needs the split's name.

    Optional beside the class folders: `boxes.csv` with the columns file, x0, y0, x1, y1 (pixels; right and bottom
    exclusive; a row per box, `file` as CLASS/NAME), and a folder `masks` with CLASS/NAME.png (0 is background).

    Raises:
        DataError: nothing is there, or its layout is another.
    """
    root = Root(path / split if split else path)
    every = root.pictures()
    if direct := [name for name in every if name.startswith(MASKS) and name.count("/") == 1]:
        raise DataError(
            f"`{root.path}` has a picture in `masks` itself: `{direct[0]}`. That folder holds masks as "
            f"{MASKS}CLASS/NAME.png: rename it if it is a class."
        )
    names = [name for name in every if not name.startswith(MASKS)]
    if loose := [name for name in names if "/" not in name]:
        raise DataError(
            f"`{root.path}` has a picture outside the class folders: `{loose[0]}`. Use CLASS/NAME.jpg, "
            "or table:FILE.csv with a column file, and a label where it is known."
        )
    classes = tuple(sorted({name.partition("/")[0] for name in names}))
    if nesting := sorted({*classes} - {name.partition("/")[0] for name in names if name.count("/") == 1}):
        named = "" if split else f"If it is a split, name it: folder:{path}:{nesting[0]}. "
        raise DataError(
            f"`{nesting[0]}` in `{root.path}` holds folders and no pictures, so it is no class. {named}"
            "Use CLASS/NAME.jpg."
        )
    boxes = read_boxes(root, BOXES, set(names)) if BOXES in root.files else {}
    masks = {str(PurePosixPath(name).with_suffix("")): name for name in root.pictures(MASKS)}
    entries: list[Entry] = []
    for name in names:
        mask = masks.get(MASKS + str(PurePosixPath(name).with_suffix("")))
        entries.append(
            Entry(
                name,
                Stored(load_picture, root, name),
                classes.index(name.partition("/")[0]),
                boxes.get(name),
                Stored(load_mask, root, mask) if mask else None,
            )
        )
    _tell_left_out(root, every)
    return Samples(f"folder:{root.path}", classes, entries)


def _tell_left_out(root: Root, taken: Sequence[str]) -> None:
    others = sorted(name for name in root.files - {*taken, BOXES} if name.rpartition("/")[2][:1] not in ("", "."))
    if others:
        named = ", ".join(f"`{name}`" for name in others[:3]) + (", …" if len(others) > 3 else "")
        warn(f"`{root.path}`: {len(others)} of its files are no pictures: {named}.", ExplainWarning, stacklevel=3)


def read_boxes(root: Root, table: str, files: set[str]) -> Mapping[str, Boxes]:
    """The boxes of each file in a table with the columns file, x0, y0, x1, y1.

    Raises:
        DataError: a column is missing, a row is about no file in `files`, or a box has no area.
    """
    corners: defaultdict[str, list[list[float]]] = defaultdict(list)
    for row in read_rows(root, table, ("file", "x0", "y0", "x1", "y1")):
        if row["file"] not in files:
            raise DataError(
                f"`{table}` in `{root.path}` has a box for `{row['file']}`, which is not there. Correct it."
            )
        corners[row["file"]].append([row.number(column) for column in ("x0", "y0", "x1", "y1")])
    return {name: as_boxes(rows, name) for name, rows in corners.items()}


def load_picture(root: Root, name: str) -> Image:
    """One picture."""
    return decode_picture(root.read(name), f"`{name}` in `{root.path}`")


def load_mask(root: Root, name: str) -> Mask:
    """One mask: True where its pixels are not 0."""
    return decode_mask(root.read(name), f"`{name}` in `{root.path}`") != 0
