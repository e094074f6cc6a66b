"""Why a detector says that this is there: a heat map of one detection, or of all of a class."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.errors import DataError
from vitreous.files.manifest import check_own_file, versions
from vitreous.files.writing import check_writable, whole_file, write_json
from vitreous.medical.scan import NOT_FOR_DIAGNOSIS
from vitreous.methods import make_method, title_of
from vitreous.methods.explanation import Explanation
from vitreous.models.detection.detect import BoxScores, Detections, as_image, detect, hits
from vitreous.render.boxes import RIGHT, SHOWN, WRONG, draw_boxes
from vitreous.render.detections import draw_detection
from vitreous.render.overlay import Scale, overlay, upsample
from vitreous.render.sheet import Panel, save_page, sheet
from vitreous.trace.target import Classes

if TYPE_CHECKING:
    from PIL.Image import Image
    from torchvision.models.detection import MaskRCNN

__all__ = [
    "JOB",
    "ExplainedClass",
    "ExplainedDetection",
    "explain_class",
    "explain_detection",
    "write_class",
    "write_detection",
]

JOB = "detect explain"
"""What made a sheet."""


@dataclass(frozen=True)
class ExplainedDetection:
    """One of the objects found in a picture, and what speaks for it.

    Attributes:
        picture: RGB.
        found: all objects.
        number: which is explained, from 1.
        heatmap: (height, width), raw, on the picture as the detector saw it; its edges are the picture's.
        method: that made it.
        signed: the map has two sides.
        layer: that it read.
        probability: of the object's class, as the detector's head sees the final box.
    """

    picture: Image
    found: Detections
    number: int
    heatmap: Float[Tensor, "height width"]
    method: str
    signed: bool
    layer: str
    probability: float


def explain_detection(
    model: MaskRCNN, picture: Image, number: int = 1, *, method: str = "grad_cam", layer: str = ""
) -> ExplainedDetection:
    """Explain the class score that the detector's head gives to a detection's final box.

    Args:
        model: in evaluation mode.
        picture: RGB.
        number: the detection, counted from 1, surest first.
        method: one that reads a layer, such as those of the CAM family.
        layer: dotted name in `BoxScores`; by default the level of the feature pyramid that the box is read from.

    Raises:
        DataError: there are fewer detections.
        UnknownName: no such method or layer, or a method that reads no layer.
        ExplainError: as the method.

    Cost: a detection, and what the method costs, of the pyramid and one box.
    """
    found = detect(model, as_image(picture))
    if not 1 <= number <= len(found.boxes):
        raise DataError(
            f"the detector found {len(found.boxes)} objects, and number {number} is none of them. "
            "Choose another, or a picture in which it finds some."
        )
    heatmap, explained, label = _explain_box(model, picture, found, number - 1, method=method, layer=layer)
    return ExplainedDetection(
        picture,
        found,
        number,
        heatmap,
        method,
        explained.signed,
        explained.layer,
        float(explained.probabilities[0, label]),
    )


@dataclass(frozen=True)
class ExplainedClass:
    """All objects of one class that are found in a picture, and what speaks for them.

    Attributes:
        picture: RGB.
        boxes: of the objects, surest first, in pixels of the picture.
        scores: of each.
        right: whether each is one of the objects that are given; None where none are.
        missed: how many of those given are not among them; None likewise.
        heatmap: (height, width): of the boxes' own maps, each divided by its strongest value, the strongest at each
            place.
        method: that made them.
        signed: the map has two sides.
        layers: that it read.
    """

    picture: Image
    boxes: Float[Tensor, "objects 4"]
    scores: Float[Tensor, " objects"]
    right: tuple[bool, ...] | None
    missed: int | None
    heatmap: Float[Tensor, "height width"]
    method: str
    signed: bool
    layers: tuple[str, ...]


def explain_class(
    model: MaskRCNN,
    picture: Image,
    label: int,
    *,
    least: float = 0.5,
    given: Float[Tensor, "given 4"] | None = None,
    method: str = "grad_cam",
    layer: str = "",
) -> ExplainedClass:
    """Explain every detection of a class, as `explain_detection` explains one.

    Args:
        model: in evaluation mode.
        picture: RGB.
        label: the class, from 1.
        least: score of a detection that counts.
        given: boxes of the picture's objects of that class; None where they are not known.
        method: one that reads a layer.
        layer: dotted name in `BoxScores`; by default the level that each box is read from.

    Raises:
        DataError: there is no such detection.
        UnknownName, ExplainError: as `explain_detection`.

    Cost: a detection, and for each object what the method costs.
    """
    found = detect(model, as_image(picture))
    rows = ((found.labels == label) & (found.scores >= least)).nonzero()[:, 0].tolist()
    if not rows:
        best = float(found.scores[found.labels == label].max()) if bool((found.labels == label).any()) else 0.0
        raise DataError(
            f"the detector finds no such object with a score of {least:g} or more; its surest has {best:.3f}. "
            "Ask for less, or name another class."
        )
    explained = [_explain_box(model, picture, found, at, method=method, layer=layer) for at in rows]
    maps = torch.stack(
        [heatmap / heatmap.abs().max().clamp(min=torch.finfo(heatmap.dtype).tiny) for heatmap, *_ in explained]
    )
    strongest = maps.abs().argmax(0, keepdim=True)
    right = None if given is None else tuple(hits(found.boxes[rows], given))
    return ExplainedClass(
        picture,
        found.boxes[rows],
        found.scores[rows],
        right,
        None if given is None or right is None else len(given) - sum(right),
        maps.gather(0, strongest)[0],
        method,
        any(each.signed for _, each, _ in explained),
        tuple(dict.fromkeys(each.layer for _, each, _ in explained)),
    )


def _explain_box(
    model: MaskRCNN, picture: Image, found: Detections, at: int, *, method: str, layer: str
) -> tuple[Float[Tensor, "height width"], Explanation, int]:
    """The map of one detection on the picture as the detector saw it, what it was made from, and the class."""
    device = next(model.parameters()).device
    seen, _ = model.transform([as_image(picture).to(device)])
    height, width = seen.image_sizes[0]
    scale = torch.tensor([width / picture.width, height / picture.height]).repeat(2)
    subject = BoxScores(model, (found.boxes[at] * scale).to(device)).eval()
    label = int(found.labels[at])
    explained = make_method(method, layer=layer or subject.layer)(subject, seen.tensors, Classes((label,)))
    padded = (seen.tensors.shape[-2], seen.tensors.shape[-1])
    return upsample(explained.heatmap[0], padded)[:height, :width].cpu(), explained, label


def write_class(path: Path, explained: ExplainedClass, name: str, run: Mapping[str, Any] | None = None) -> None:
    """A sheet: all boxes on the picture, and on the heat map; beside it, what it shows as JSON, and how it was made.

    Where objects are given, boxes that are right are blue and those that are wrong red.

    Raises:
        ShapeError: the map is constant.
        DataError: as `write_detection`.
    """
    scale = Scale.of([explained.heatmap], signed=explained.signed)
    covered = overlay(explained.picture, explained.heatmap, scale=scale)
    panels = [
        Panel(name, _with_boxes(explained.picture, explained)),
        Panel(title_of(explained.method), _with_boxes(covered, explained), scale=scale),
    ]
    count = len(explained.boxes)
    told = [f"{count} {'object' if count == 1 else 'objects'}"]
    if explained.right is not None:
        told += [f"{sum(explained.right)} right (blue), {count - sum(explained.right)} wrong (red)"]
        told += [f"{explained.missed} of those given missed"]
    told += ["each object's map by its own strongest value"]
    told += [NOT_FOR_DIAGNOSIS] if explained.picture.info.get("medical") else []
    objects = [
        {"box": box, "score": score, "right": None if explained.right is None else explained.right[at]}
        for at, (box, score) in enumerate(zip(explained.boxes.tolist(), explained.scores.tolist(), strict=True))
    ]
    read = {"method": explained.method, "layers": explained.layers, "missed": explained.missed}
    shown = {"class": name, "objects": objects, **read}
    _write(path, shown, run, sheet(panels, title=name, subtitle=" · ".join(told)))


def _with_boxes(picture: Image, explained: ExplainedClass) -> Image:
    size = (explained.picture.height, explained.picture.width)
    right = torch.tensor(explained.right or [False] * len(explained.boxes))
    if explained.right is None:
        return draw_boxes(picture, explained.boxes, size, SHOWN)
    wrong = draw_boxes(picture, explained.boxes[~right], size, WRONG)
    return draw_boxes(wrong, explained.boxes[right], size, RIGHT)


def write_detection(
    path: Path, explained: ExplainedDetection, class_names: tuple[str, ...], run: Mapping[str, Any] | None = None
) -> None:
    """A sheet: the object's box and outline on the picture, and on the heat map; beside it, JSON as `write_class` has.

    Raises:
        ShapeError: the map is constant.
        DataError: a file cannot be written, or is there already and not of an earlier call.
    """
    at, found = explained.number - 1, explained.found
    name = class_names[int(found.labels[at]) - 1]
    scale = Scale.of([explained.heatmap], signed=explained.signed)
    covered = overlay(explained.picture, explained.heatmap, scale=scale)
    panels = [
        Panel(title, draw_detection(page, found.boxes[at], found.masks[at]), scale=colors)
        for title, page, colors in (
            (f"{name} · {found.scores[at]:.1%}", explained.picture, None),
            (title_of(explained.method), covered, scale),
        )
    ]
    subtitle = (
        f"detection {explained.number} of {len(found.boxes)} · {explained.probability:.1%} for its final box · "
        f"layer {explained.layer}"
    )
    subtitle += f" · {NOT_FOR_DIAGNOSIS}" if explained.picture.info.get("medical") else ""
    shown = {
        "number": explained.number,
        "class": name,
        "box": found.boxes[at].tolist(),
        "score": float(found.scores[at]),
    }
    read = {"method": explained.method, "layer": explained.layer, "probability": explained.probability}
    _write(path, {**shown, **read}, run, sheet(panels, title=name, subtitle=subtitle))


def _write(path: Path, shown: Mapping[str, Any], run: Mapping[str, Any] | None, page: Image) -> None:
    """A sheet, and beside it what it shows, and how it was made where that is known."""
    check_writable(path.parent)
    about = path.with_suffix(".json")
    check_own_file(about, JOB)
    if not about.exists() and os.path.lexists(path):
        raise DataError(f"`{path}` is there already, and no `{JOB}` wrote it. Move it away, or choose another output.")
    write_json(about, {"job": JOB, "sheet": path.name, "versions": versions(), **shown, "run": run})
    with whole_file(path) as part:
        save_page(page, part)
