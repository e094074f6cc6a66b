"""COCO."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from vitreous.data.pictures import MAX_PIXELS
from vitreous.data.readers.folder import load_picture
from vitreous.data.root import Root, Stored
from vitreous.data.samples import Entry, Mask, Samples, as_boxes
from vitreous.errors import DataError
from vitreous.settings.typed import Count, Within, shown, typed

__all__ = ["check_polygons", "decode_runs", "fill_polygon", "picture_size", "read_coco"]

Run = Annotated[int, Within(0)]
_EDGES = 1024


def read_coco(path: Path, split: str) -> Samples:
    """The folder with annotations/instances_SPLIT.json and SPLIT/….jpg; the split is `val2017` unless another is named.

    Pictures count whose objects are all of one class, which is the label. The mask is the union of the objects, crowds
    included; a crowd has no box.

    Raises:
        DataError: nothing is there, or its layout is another.
    """
    root, split = Root(path), split or "val2017"
    name = f"annotations/instances_{split}.json"
    try:
        values: Any = root.json(name, "Download it again.")
        categories = sorted(values["categories"], key=lambda category: category["id"])
        number = {category["id"]: at for at, category in enumerate(categories)}
        found: defaultdict[int, list[Any]] = defaultdict(list)
        for annotation in values["annotations"]:
            found[annotation["image_id"]].append(annotation)
        entries = [_entry(root, split, image, found[image["id"]], number) for image in values["images"]]
        classes = tuple(category["name"] for category in categories)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else error
        raise DataError(f"`{name}` in `{path}` is no file of instances: {said}. Download it again.") from None
    return Samples(f"coco:{path}:{split}", classes, [entry for entry in entries if entry], ((root, name),))


def _entry(root: Root, split: str, image: Any, found: list[Any], number: dict[int, int]) -> Entry | None:
    """A picture of one class; None of any other."""
    kinds = {annotation["category_id"] for annotation in found}
    if len(kinds) != 1:
        return None
    size = picture_size(image)
    sides = [tuple(map(float, each["bbox"])) for each in found if not each["iscrowd"]]
    # a few in COCO have no area
    corners = [(x, y, x + width, y + height) for x, y, width, height in sides if width > 0 and height > 0]
    outlines = [annotation["segmentation"] for annotation in found]
    return Entry(
        typed(str, image["file_name"]),
        Stored(load_picture, root, f"{split}/{image['file_name']}"),
        number[kinds.pop()],
        as_boxes(corners, image["file_name"]) if corners else None,
        partial(_union, outlines, size),
    )


def picture_size(image: Mapping[str, Any]) -> tuple[int, int]:
    """(height, width) of a picture, as its record says.

    Raises:
        KeyError, TypeError, ValueError: it does not, or says something that no picture has.
    """
    size = typed(Count, image["height"]), typed(Count, image["width"])
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"a picture has {size[1]}×{size[0]} pixels, more than {MAX_PIXELS:,}")
    return size


def _union(outlines: list[Any], size: tuple[int, int]) -> Mask:
    """The pixels inside any polygon or run-length code.

    Raises:
        DataError: one is neither.
    """
    inside = np.zeros(size, bool)
    for outline in outlines:
        if isinstance(outline, dict):
            inside |= decode_runs(outline, size)
        else:
            for corners in check_polygons(outline, size):
                inside |= fill_polygon(corners, size)
    return inside


def check_polygons(outline: Any, size: tuple[int, int]) -> list[NDArray[np.float64]]:
    """The corners (x, y) of polygons, none of them farther outside a picture than the picture is large.

    Raises:
        DataError: they are something else.
    """
    try:
        polygons = [np.array(typed(tuple[float, ...], polygon)).reshape(-1, 2) for polygon in outline]
    except (TypeError, ValueError):
        raise DataError(
            f"a `segmentation` is {shown(outline)}, no list of polygons. Export the annotations again."
        ) from None
    height, width = size
    for corners in polygons:
        if (corners < (-width, -height)).any() or (corners > (2 * width, 2 * height)).any():
            raise DataError(
                f"a polygon leads far out of its picture of {width}×{height}. Export the annotations again."
            )
    return polygons


def fill_polygon(corners: NDArray[np.float64], size: tuple[int, int]) -> Mask:
    """The pixels whose centers lie inside a polygon, by the even-odd rule; pycocotools may differ along the outline.

    >>> fill_polygon(np.array([[1.0, 0.0], [3.0, 0.0], [3.0, 1.0], [1.0, 1.0]]), (2, 4)).astype(int)
    array([[0, 1, 1, 0],
           [0, 0, 0, 0]])
    """
    height, width = size
    turns = np.zeros((height, width + 1), int)
    ends = np.stack([corners, np.roll(corners, -1, axis=0)])
    for start in range(0, len(corners), _EDGES):  # a million corners at once would fill the memory
        (x0, y0), (x1, y1) = (each[start : start + _EDGES].T for each in ends)
        centers = np.arange(height)[:, None] + 0.5
        rows, edges = np.nonzero((y0 <= centers) != (y1 <= centers))
        share = (rows + 0.5 - y0[edges]) / (y1 - y0)[edges]
        crossing = x0[edges] + share * (x1 - x0)[edges]
        # every crossing of a row turns the pixels right of it inside out
        np.add.at(turns, (rows, np.ceil(crossing - 0.5).astype(int).clip(0, width)), 1)
    return turns.cumsum(1)[:, :width] % 2 == 1


def decode_runs(outline: Mapping[str, Any], size: tuple[int, int]) -> Mask:
    """Runs of 0 and 1 in turn, down the columns; as numbers, or in COCO's letters: 5 bits each, from the lowest.

    Raises:
        DataError: they are not those of such a picture.
    """
    counts, pixels = outline.get("counts"), size[0] * size[1]
    try:
        lengths = _lengths(counts, pixels) if isinstance(counts, str) else typed(tuple[Run, ...], counts)
    except TypeError:
        raise DataError("a run-length code is neither numbers nor COCO's letters. Download the file again.") from None
    if sum(lengths) != pixels or min(lengths) < 0:
        raise DataError(
            f"a run-length code has {sum(lengths)} pixels for {size[1]}×{size[0]}. Download the file again."
        )
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(size[1], size[0]).T


def _lengths(letters: str, most: int) -> list[int]:
    """The runs in letters.

    Raises:
        TypeError: they are others, or a run has more pixels than `most`.
    """
    lengths: list[int] = []
    value = shift = 0
    for letter in letters:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > most.bit_length() + 5:
            raise TypeError
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            signed = value - (1 << shift) if bits & 16 else value
            # from the fourth run on, only the difference from the run before the last is written
            lengths.append(signed + lengths[-2] if len(lengths) > 2 else signed)
            value = shift = 0
    return lengths
