"""A JSON file that lists pictures with boxes and instances, beside folders or zip archives of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from vitreous.data.readers.folder import load_mask, load_picture
from vitreous.data.readers.table import beside
from vitreous.data.root import Root, Stored
from vitreous.data.samples import Entry, Samples, as_boxes
from vitreous.errors import DataError, UnknownName
from vitreous.settings.typed import Within, typed

__all__ = ["read_listed"]

Index = Annotated[int, Within(0)]


def read_listed(path: Path, split: str) -> Samples:
    """A JSON file, the pictures that it names in `images` or `images.zip` beside it, and masks in `instances` likewise.

    `categories` is {"0": name, …}; `images` lists {"file", "split", "boxes": [{"category", "xyxy"}, …], "mask"}, with
    corners in pixels, right and bottom exclusive, and the mask a file whose pixels number the instances (0 is
    background), or null.
    The label is the class of the boxes where they share one. The mask is the union of the instances.

    Raises:
        UnknownName: no picture is in that split.
        DataError: nothing is there, or its layout is another.
    """
    root, pictures, masks = Root(path.parent), beside(path, "images"), beside(path, "instances")
    try:
        values: Any = root.json(path.name, "Give `categories` and `images` in it.")
        classes = tuple(typed(str, values["categories"][str(at)]) for at in range(len(values["categories"])))
        splits = sorted({image.get("split", "") for image in values["images"]})
        listed = [image for image in values["images"] if split in ("", image.get("split"))]
        entries = [_entry(image, pictures, masks) for image in listed]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else error
        raise DataError(f"`{path}` is no list of pictures: {said}. Give `categories` and `images` in it.") from None
    if not entries and split:
        raise UnknownName("split", split, splits)
    return Samples(f"listed:{path}" + (f":{split}" if split else ""), classes, entries)


def _entry(image: Any, pictures: Root, masks: Root) -> Entry:
    kinds = {typed(Index, box["category"]) for box in image["boxes"]}
    corners = [[float(side) for side in box["xyxy"]] for box in image["boxes"]]
    return Entry(
        typed(str, image["file"]),
        Stored(load_picture, pictures, image["file"]),
        kinds.pop() if len(kinds) == 1 else None,
        as_boxes(corners, image["file"]) if corners else None,
        Stored(load_mask, masks, image["mask"]) if image.get("mask") else None,
    )
