"""PASCAL VOC 2012."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from vitreous.data.pictures import decode_mask
from vitreous.data.readers.folder import load_picture
from vitreous.data.root import Root, Stored
from vitreous.data.samples import Boxes, Entry, Mask, Samples, as_boxes
from vitreous.errors import DataError, UnknownName

__all__ = ["CLASSES", "XmlObject", "boxes_of", "read_objects", "read_voc"]

CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog"),
    *("horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_voc(path: Path, split: str) -> Samples:
    """The folder VOC2012 with Annotations, ImageSets, JPEGImages and, for masks, SegmentationClass.

    The split is a list in ImageSets/Main, `val` unless another is asked for. As AG-CAM does, pictures count whose
    objects are all of one class, which is the label; difficult objects count. The mask is that class's pixels.

    Raises:
        UnknownName: there is no such list.
        DataError: nothing is there, or its layout is another.
    """
    root, split = Root(path), split or "val"
    lists = "ImageSets/Main/"
    if f"{lists}{split}.txt" not in root.files:
        known = sorted(
            name.removeprefix(lists).removesuffix(".txt")
            for name in root.files
            if name.startswith(lists) and "_" not in name.removeprefix(lists)
        )
        if not known:
            raise DataError(f"`{path}` has no lists in {lists}. Give the folder VOC2012 itself, as VOCdevkit/VOC2012.")
        raise UnknownName("split", split, known)
    entries: list[Entry] = []
    for name in root.text(f"{lists}{split}.txt").split():
        objects = list(read_objects(root, f"Annotations/{name}.xml"))
        kinds = {each.name for each in objects}
        if unknown := sorted(kinds - set(CLASSES)):
            raise DataError(f"`{name}` has an object of class {unknown[0]}, which VOC has not. Correct its annotation.")
        if len(kinds) != 1:
            continue
        label, mask = CLASSES.index(kinds.pop()), f"SegmentationClass/{name}.png"
        entries.append(
            Entry(
                name,
                Stored(load_picture, root, f"JPEGImages/{name}.jpg"),
                label,
                boxes_of(objects, name),
                Stored(partial(_class_mask, number=label + 1), root, mask) if mask in root.files else None,
            )
        )
    return Samples(f"voc:{path}:{split}", CLASSES, entries)


@dataclass(frozen=True)
class XmlObject:
    """An object in an annotation: its class, and left, top, right, bottom as they are written."""

    name: str
    box: tuple[float, float, float, float]


def read_objects(root: Root, name: str) -> Iterator[XmlObject]:
    """The objects of an XML annotation, as VOC and ImageNet have them.

    Raises:
        DataError: there is no such file, or it is none of these.
    """
    try:
        text = root.read(name)
        if b"<!DOCTYPE" in text or b"<!ENTITY" in text:
            raise ValueError("it declares entities, which annotations do not")
        tree = ElementTree.fromstring(text)
        for found in tree.iter("object"):
            box = found.find("bndbox")
            left, top, right, bottom = (
                float((box.findtext(side) if box is not None else None) or "missing") for side in _CORNERS
            )
            yield XmlObject((found.findtext("name") or "").strip(), (left, top, right, bottom))
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"`{name}` in `{root.path}` is no annotation: {error}. Copy it again.") from None


def boxes_of(objects: Iterable[XmlObject], name: str) -> Boxes | None:
    """Their boxes, as they are written; None for none.

    Published annotations count the right and bottom pixel in, so corners on one line are a pixel apart. They have a few
    boxes with swapped corners, too: these mark no pixel in AG-CAM's code, and are left out.
    """
    kept = [
        (left, top, max(right, left + 1), max(bottom, top + 1))
        for left, top, right, bottom in (each.box for each in objects)
        if not (right < left or bottom < top)
    ]
    return as_boxes(kept, name) if kept else None


def _class_mask(root: Root, name: str, number: int) -> Mask:
    return decode_mask(root.read(name), f"`{name}` in `{root.path}`") == number
