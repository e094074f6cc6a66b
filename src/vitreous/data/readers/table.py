"""A table of pictures beside a folder or zip archive of them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from vitreous.data.readers.folder import load_mask, load_picture
from vitreous.data.root import Root, Stored
from vitreous.data.rows import Row, read_rows
from vitreous.data.samples import Entry, Samples, as_boxes
from vitreous.errors import DataError, UnknownName

__all__ = ["beside", "read_table"]

_CORNERS = ("x0", "y0", "x1", "y1")
_LABELS = ("label", "index")
_NAMES = ("class", "species", "name")


def read_table(path: Path, split: str) -> Samples:
    """A CSV file, and the pictures that it names in `images` or `images.zip` beside it, or else from its own folder.

    Columns: `file`; optional `label` (or `index`), from 0; `class` (or `species`, `name`), what the label is called;
    where `label`, or `class` alone, holds names and no numbers, classes are these, in alphabetical order; `split`;
    `x0`, `y0`, `x1`, `y1`, a box in pixels, right and bottom exclusive, empty for none; `mask`, a file in `masks` or
    `masks.zip` beside it (0 is background). A picture with several boxes has a row for each.

    Raises:
        UnknownName: no row has that split.
        DataError: nothing is there, or its layout is another.
    """
    if not path.is_file():
        raise DataError(
            f"there is no table `{path}`. Give a CSV file with pictures in `images` or `images.zip` beside it, or with "
            "their paths from where it lies."
        )
    rows = list(read_rows(Root(path.parent), path.name, ("file",)))
    if split:
        splits = sorted({row.get("split", "") for row in rows} - {""})
        if split not in splits:
            raise UnknownName("split", split, splits or ["(the table has none)"])
    by_name = _classes(rows)
    names = by_name or _class_names(rows)
    grouped: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if not split or row["split"] == split:
            grouped[row["file"]].append(row)
    pictures, masks = _pictures(path, list(grouped)), beside(path, "masks")
    entries: list[Entry] = []
    for file, lines in grouped.items():
        boxes = [[row.number(side) for side in _CORNERS] for row in lines if all(row.get(side) for side in _CORNERS)]
        mask = lines[0].get("mask")
        entries.append(
            Entry(
                file,
                Stored(load_picture, pictures, file),
                names.index(_said(lines[0])) if by_name and _said(lines[0]) else _label(lines[0]),
                as_boxes(boxes, file) if boxes else None,
                Stored(load_mask, masks, mask) if mask else None,
            )
        )
    return Samples(f"table:{path}" + (f":{split}" if split else ""), names, entries)


def _pictures(path: Path, files: list[str]) -> Root:
    """Where the pictures of a table lie: beside it, or from its own folder."""
    found = beside(path, "images")
    if found.path.exists():
        return found
    own = Root(path.parent)
    if all(own.stamp(file) == "missing" for file in files):
        raise DataError(
            f"`{path}` names pictures that lie neither in `images` or `images.zip` beside it nor in its own folder, "
            f"as `{files[0]}`. Put them there, or write their paths from `{path.parent}` into the table."
        )
    return own


def beside(path: Path, name: str) -> Root:
    """The folder of that name beside a file, or the zip archive where there is no folder."""
    folder = path.with_name(name)
    return Root(folder if folder.is_dir() else folder.with_suffix(".zip"))


def _said(row: Row) -> str:
    """A label as it is written."""
    return next((row[name] for name in (*_LABELS, "class") if row.get(name)), "")


def _classes(rows: list[Row]) -> tuple[str, ...]:
    """The classes of a table whose labels are names; none where one is a number."""
    said = sorted({_said(row) for row in rows} - {""})
    return () if any(_is_number(label) for label in said) else tuple(said)


def _is_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True


def _label(row: Row) -> int | None:
    column = next((name for name in _LABELS if row.get(name)), None)
    return None if column is None else row.label(column)


def _class_names(rows: list[Row]) -> tuple[str, ...]:
    """What every label is called, where the table says so."""
    named: dict[int, str] = {}
    for row in rows:
        label = _label(row)
        if label is not None:
            named[label] = next((row[name] for name in _NAMES if row.get(name)), f"class {label}")
    return tuple(named.get(label, f"class {label}") for label in range(max(named, default=-1) + 1))
