"""Pictures with their objects (class, box, mask), in COCO's format."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor

from vitreous.data.depth import Window, through
from vitreous.data.readers.coco import check_polygons, decode_runs, picture_size
from vitreous.data.readers.folder import load_picture
from vitreous.data.root import Root
from vitreous.errors import DataError, MissingExtra, UnknownName
from vitreous.files.reading import parse_json
from vitreous.settings.typed import shown, typed

__all__ = ["Objects", "Scene", "Scenes", "read_scenes"]

_PLACE = "annotations/instances_{}.json"


@dataclass(frozen=True)
class Objects:
    """The objects of one picture.

    Attributes:
        boxes: left, top, right, bottom in pixels of the picture, right and bottom exclusive.
        labels: from 1, in the order of the class names: 0 is the background.
        masks: True on the object.
        crowd: whether it stands for many, which count as neither found nor missed.
        areas: in pixels, as the annotators state them; they decide what is small, medium and large.
    """

    boxes: Float[Tensor, "objects 4"]
    labels: Int[Tensor, " objects"]
    masks: Bool[Tensor, "objects height width"]
    crowd: Bool[Tensor, " objects"]
    areas: Float[Tensor, " objects"]


@dataclass(frozen=True)
class Scene:
    """A picture that is not decoded yet.

    Attributes:
        file: its name.
        size: (height, width).
        annotations: COCO's records, with `label` from 1.
    """

    file: str
    size: tuple[int, int]
    annotations: Sequence[Mapping[str, Any]]

    def objects(self) -> Objects:
        """Decode the objects."""
        found = self.annotations
        left, top, width, height = torch.tensor([each["bbox"] for each in found]).float().view(-1, 4).unbind(1)
        masks = [_decode(each["segmentation"], self.size) for each in found]
        return Objects(
            torch.stack([left, top, left + width, top + height], 1),
            torch.tensor([each["label"] for each in found], dtype=torch.int64),
            torch.from_numpy(np.stack(masks) if masks else np.zeros((0, *self.size), bool)),
            torch.tensor([bool(each["iscrowd"]) for each in found], dtype=torch.bool),
            torch.tensor([float(each["area"]) for each in found], dtype=torch.float32),
        )


@dataclass(frozen=True)
class Scenes:
    """Pictures with their objects.

    Attributes:
        root: where they are.
        folder: of the pictures, in it.
        class_names: of the objects, in the order of COCO's category numbers.
        scenes: one per picture.
        fingerprint: SHA-256 of the annotations, and of the pictures' sizes and times.
        window: of gray pictures of more than 8 bits, as in `open_picture`.
    """

    root: Root
    folder: str
    class_names: tuple[str, ...]
    scenes: Sequence[Scene]
    fingerprint: str
    window: Window = None

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self.scenes)

    def __getitem__(self, index: int) -> tuple[Image, Objects]:
        """One RGB picture and its objects.

        Raises:
            DataError: it cannot be read, or is of another size than the annotations say.
        """
        scene = self.scenes[index]
        with through(self.window):
            picture = load_picture(self.root, f"{self.folder}/{scene.file}")
        if (picture.height, picture.width) != scene.size:
            raise DataError(
                f"`{scene.file}` has {picture.width}×{picture.height} pixels, its annotations say "
                f"{scene.size[1]}×{scene.size[0]}. Give the pictures that were annotated."
            )
        return picture, scene.objects()

    def boxes_of(self, file: str, name: str) -> Float[Tensor, "objects 4"]:
        """The boxes of one picture's objects of a class, crowds left out.

        Raises:
            DataError: there is no such picture.
            UnknownName: there is no such class.
        """
        if name not in self.class_names:
            raise UnknownName("class", name, self.class_names)
        scene = next((each for each in self.scenes if Path(each.file).name == file), None)
        if scene is None:
            raise DataError(f"`{self.root.path}` lists no picture `{file}` in `{self.folder}`. Name its split.")
        objects = scene.objects()
        return objects.boxes[(objects.labels == 1 + self.class_names.index(name)) & ~objects.crowd]

    def learnable(self) -> Scenes:
        """What a detector can learn from: no crowds, boxes cut at the picture's edges, no picture without objects.

        Raises:
            DataError: nothing is left.
        """
        cut = [replace(scene, annotations=list(_within(scene))) for scene in self.scenes]
        kept = [scene for scene in cut if scene.annotations]
        if not kept:
            raise DataError(
                f"`{self.folder}` in `{self.root.path}` has no object to learn from. Check the annotations."
            )
        return replace(self, scenes=kept)


def read_scenes(path: Path, split: str) -> Scenes:
    """The folder, or zip archive, with annotations/instances_SPLIT.json and the pictures in SPLIT.

    Raises:
        MissingExtra: pycocotools is not installed.
        DataError: nothing is there, or its layout is another.
    """
    try:
        import pycocotools  # noqa: F401  # pyright: ignore[reportUnusedImport] - the masks need it later
    except ImportError:
        raise MissingExtra("pycocotools", "detect") from None
    root, name = Root(path), _PLACE.format(split)
    if name not in root.files:
        before, after = _PLACE.split("{}")
        there = sorted(file[len(before) : -len(after)] for file in root.files if file.startswith(before))
        raise DataError(
            f"`{path}` has no file `{name}`. "
            + (
                f"Name one of its splits: {', '.join(there)}."
                if there
                else "Lay it out as COCO: that, and SPLIT/….jpg."
            )
        )
    text = root.read(name)
    values = parse_json(text, f"`{name}` in `{path}`", "Export it again.")
    try:
        categories = sorted(values["categories"], key=lambda category: category["id"])
        label = {category["id"]: 1 + at for at, category in enumerate(categories)}
        found: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
        for each in values["annotations"]:
            found[each["image_id"]].append(_checked(each, label))
        scenes = [
            Scene(typed(str, each["file_name"]), picture_size(each), found.pop(each["id"], []))
            for each in values["images"]
        ]
        classes = tuple(str(category["name"]) for category in categories)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        said = f"no {error}" if isinstance(error, KeyError) else error
        raise DataError(f"`{name}` in `{path}` is no file of instances: {said}. Export it again.") from None
    if found or not scenes:
        fact = f"objects of a picture that it does not list ({next(iter(found))})" if found else "no pictures"
        raise DataError(f"`{name}` in `{path}` has {fact}. Export it again.")
    digest = hashlib.sha256(text)
    for scene in scenes:
        digest.update(root.stamp(f"{split}/{scene.file}").encode())
    return Scenes(root, split, classes, scenes, digest.hexdigest())


def _checked(annotation: Mapping[str, Any], label: Mapping[int, int]) -> Mapping[str, Any]:
    """An annotation with its label and everything that COCO lets be left out.

    Raises:
        KeyError, TypeError, ValueError: it lacks something, or something has no meaning.
    """
    box, outline = [float(side) for side in annotation["bbox"]], annotation["segmentation"]
    if len(box) != 4 or not all(map(isfinite, box)):
        raise ValueError(f"a `bbox` is {annotation['bbox']}, not left, top, width, height")
    if not (
        {"counts", "size"} <= outline.keys()
        if isinstance(outline, dict)
        else outline and all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in outline)
    ):
        raise ValueError("a `segmentation` is neither run lengths nor polygons of three corners or more")
    return {
        "bbox": box,
        "segmentation": outline,
        "label": label[annotation["category_id"]],
        "iscrowd": annotation.get("iscrowd", 0),
        "area": annotation.get("area", box[2] * box[3]),
    }


def _within(scene: Scene) -> list[Mapping[str, Any]]:
    """The objects that are one each, of a pixel or more, their boxes cut at the edges."""
    height, width = scene.size
    kept: list[Mapping[str, Any]] = []
    for each in scene.annotations:
        left, top, wide, high = each["bbox"]
        right, bottom = min(left + wide, width), min(top + high, height)
        left, top = max(left, 0.0), max(top, 0.0)
        if not each["iscrowd"] and right - left >= 1 and bottom - top >= 1:
            kept.append({**each, "bbox": [left, top, right - left, bottom - top]})
    return kept


def _decode(outline: Any, size: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask of polygons, by COCO's own tools, or of run lengths in numbers or letters.

    Raises:
        DataError: it is none of a picture of that size.
    """
    if isinstance(outline, dict):
        if list(outline.get("size", size)) != list(size):
            raise DataError(
                f"a mask is of {shown(outline['size'])}, its picture of {list(size)}. Export the annotations again."
            )
        return decode_runs(outline, size)
    from pycocotools import mask

    tools: Any = mask
    polygons = [corners.ravel().tolist() for corners in check_polygons(outline, size)]
    return tools.decode(tools.merge(tools.frPyObjects(polygons, *size))).astype(bool)
