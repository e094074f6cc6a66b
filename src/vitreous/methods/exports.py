"""One map as a file for other programs: a picture, a figure of layers, raw pixels, a table, boxes and masks."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vitreous.errors import DataError, ShapeError
from vitreous.files.writing import whole_file, write_json
from vitreous.masking.components import components
from vitreous.methods.explanation import Explanation
from vitreous.render.layers import layered, save_raw
from vitreous.render.overlay import Scale, spread
from vitreous.trace.answer import rather

if TYPE_CHECKING:
    from PIL.Image import Image

    from vitreous.render.view import View

__all__ = ["FORMATS", "Exported", "coco", "export"]


_SIDE = 1024
"""Longest side in pixels of the picture in a figure."""


@dataclass(frozen=True)
class Exported:
    """One map of an explanation, and its picture.

    Attributes:
        explanation: that has the map.
        index: of its image.
        picture: as `Explanation.overlay` takes it; None where the explanation has it.
        name: of the picture's file, where the picture does not know it.
    """

    explanation: Explanation
    index: int = 0
    picture: Image | View | None = None
    name: str = ""

    @property
    def file(self) -> str:
        """The name of the picture's file; empty where there is none."""
        views = self.explanation.views
        return self.name or ("" if self.picture or not views else views[self.index].whole.info.get("file", ""))

    @property
    def title(self) -> str:
        """What is explained, and by which method."""
        given, method = self.explanation, self.explanation.method
        answer, title = given.answer(self.index), getattr(method, "title", type(method).__name__)
        return f"{self.explained} · {answer.shown} · {title}" if answer else str(method)

    @property
    def explained(self) -> str:
        """The class, and the one that it is held against; empty where there is none."""
        answer = self.explanation.answer(self.index)
        return rather(answer.name, self.explanation.rival(self.index)) if answer else ""


def export(map_: Exported, path: Path, threshold: float = 0.5) -> None:
    """Write a map in the format that the suffix names, as `Explanation.export` says.

    Raises:
        DataError: the suffix names none, or the disk says no.
        ShapeError: there is no picture to write, or the threshold lies outside.
    """
    formats = {suffix: write for suffixes, write in FORMATS.values() for suffix in suffixes}
    if path.suffix not in formats:
        raise DataError(f"`{path}` names no format. Let it end in {', '.join(formats)}.")
    formats[path.suffix](map_, path, threshold)


def _png(map_: Exported, path: Path, _: float) -> None:
    drawn = map_.explanation.overlay(map_.index, whole=True, picture=map_.picture)
    with whole_file(path) as part:
        drawn.save(part)


def _svg(map_: Exported, path: Path, _: float) -> None:
    given, at = map_.explanation, map_.index
    view = given.view(at, map_.picture).shrunk(_SIDE)
    values = spread(given.heatmap[at], view.whole.size, view.box, blocks=given.blocks)
    drawn = layered(view, values, Scale.of([given.heatmap[at]], signed=given.signed), map_.title)
    with whole_file(path) as part:
        part.write_text(drawn, encoding="utf-8", errors="backslashreplace")


def _tiff(map_: Exported, path: Path, _: float) -> None:
    values = map_.explanation.at_picture_size(map_.index, picture=map_.picture).float().cpu().numpy()
    with whole_file(path) as part:
        save_raw(values, part, map_.title)


def _csv(map_: Exported, path: Path, _: float) -> None:
    heatmap = map_.explanation.heatmap[map_.index].detach().cpu()
    left, top, right, bottom = map_.explanation.crop(map_.index, map_.picture).box
    rows, columns = heatmap.shape
    across, down = (right - left) / columns, (bottom - top) / rows
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "column", "left", "top", "right", "bottom", "value"])
    for row in range(rows):
        for column in range(columns):
            corners = (column * across, row * down, (column + 1) * across, (row + 1) * down)
            shifted = [f"{each + start:.6g}" for each, start in zip(corners, (left, top, left, top), strict=True)]
            writer.writerow([row, column, *shifted, repr(heatmap[row, column].item())])
    with whole_file(path) as part:
        part.write_text(text.getvalue(), encoding="utf-8")


def _coco(map_: Exported, path: Path, threshold: float) -> None:
    count = len(map_.explanation.heatmap)
    if map_.picture is not None and count > 1:
        raise ShapeError(f"there is one picture for {count} images. Explain pictures or paths, or one image.")
    maps = [Exported(map_.explanation, at, map_.picture, map_.name) for at in range(count)]
    write_json(path, coco(maps, threshold))


def coco(maps: Sequence[Exported], threshold: float = 0.5) -> dict[str, Any]:
    """Data in COCO's format: an annotation for each place where a map is strong, the strongest of a map first.

    Of each, `bbox` is x, y, width and height; `segmentation` a run-length encoding; `score` the strongest value in it,
    as a threshold counts: 1 is the strongest of the map. A category is a class, its id the class's index plus 1; of one
    held against another, that and as often the number of classes as the other's index plus 1 says.

    Args:
        maps: of any pictures; those of one file share an image.
        threshold: as for `Explanation.mask`.

    Raises:
        ShapeError: as `Explanation.mask`.
    """
    images: dict[str, dict[str, Any]] = {}
    categories: dict[int, dict[str, Any]] = {}
    annotations: list[dict[str, Any]] = []
    for number, each in enumerate(maps):
        crop, answer = each.explanation.crop(each.index, each.picture), each.explanation.answer(each.index)
        (width, height), key = crop.size, each.file or str(number)
        known = {"id": len(images) + 1, "file_name": each.file, "width": width, "height": height}
        image = images.setdefault(key, known)
        category = (_category(each.explanation, each.index), each.explained) if answer else (1, "what is explained")
        categories[category[0]] = dict(zip(("id", "name"), category, strict=True))
        of = {"image_id": image["id"], "category_id": category[0], "iscrowd": 0}
        for part in _parts(each, threshold):
            annotations.append({"id": len(annotations) + 1, **of, **part})
    about = (
        f"places where heat maps are above {threshold:g} of their strongest value, by vitreous {version('vitreous')}"
    )
    listed = [categories[at] for at in sorted(categories)]
    return {
        "info": {"description": about},
        "images": [*images.values()],
        "categories": listed,
        "annotations": annotations,
    }


def _category(given: Explanation, at: int) -> int:
    """The id of a class, or of one held against another.

    Only where there is a class.
    """
    assert given.target is not None
    assert given.logits is not None
    rival = given.against[at] + 1 if given.against else 0
    return int(given.target[at]) + 1 + rival * given.logits.shape[1]


def _parts(map_: Exported, threshold: float) -> list[dict[str, Any]]:
    """Each 8-connected place where the map is strong, the strongest first."""
    given, at, picture = map_.explanation, map_.index, map_.picture
    scale = Scale.of([given.heatmap[at]], signed=given.signed)
    values = given.at_picture_size(at, picture=picture).double().cpu().numpy()
    number = components(given.mask(threshold, at, picture=picture)[None])[0].cpu().numpy()
    low = 0.0 if given.signed else scale.low
    parts = [_part(number == each, values, low, scale.high) for each in np.unique(number[number >= 0])]
    return sorted(parts, key=lambda each: -each["score"])


def _part(mask: NDArray[np.bool_], values: NDArray[np.float64], low: float, high: float) -> dict[str, Any]:
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    left, top = int(columns[0]), int(rows[0])
    return {
        "bbox": [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top],
        "area": int(mask.sum()),
        "segmentation": {"size": [*mask.shape], "counts": _runs(mask)},
        "score": (float(values[mask].max()) - low) / (high - low),
    }


def _runs(mask: NDArray[np.bool_]) -> list[int]:
    """How many pixels are alike, column by column, those outside first.

    >>> _runs(np.array([[True, False], [True, True]]))
    [0, 2, 1, 1]
    """
    flat = np.concatenate([[False], mask.ravel(order="F")])
    ends = np.flatnonzero(np.diff(flat))
    return np.diff(np.concatenate([[0], ends, [mask.size]])).tolist()


FORMATS: Mapping[str, tuple[Sequence[str], Callable[[Exported, Path, float], None]]] = {
    "png": ((".png",), _png),
    "svg": ((".svg",), _svg),
    "tiff": ((".tiff", ".tif"), _tiff),
    "csv": ((".csv",), _csv),
    "coco": ((".json",), _coco),
}
"""By name, the suffixes of a format and what writes it."""
