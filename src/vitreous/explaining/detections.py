"""Why a detector says that this is there: a heat map of one detection."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.errors import DataError
from vitreous.files.manifest import check_own_file, versions
from vitreous.files.writing import check_writable, whole_file, write_json
from vitreous.medical.scan import NOT_FOR_DIAGNOSIS
from vitreous.methods import make_method, title_of
from vitreous.models.detection.detect import BoxScores, Detections, as_image, detect
from vitreous.render.detections import draw_detection
from vitreous.render.overlay import Scale, overlay, upsample
from vitreous.render.sheet import Panel, save_page, sheet
from vitreous.trace.target import Classes

if TYPE_CHECKING:
    from PIL.Image import Image
    from torchvision.models.detection import MaskRCNN

__all__ = ["ExplainedDetection", "explain_detection", "write_detection"]

_JOB = "detect explain"


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
    found = detect(model, image := as_image(picture))
    if not 1 <= number <= len(found.boxes):
        raise DataError(
            f"the detector found {len(found.boxes)} objects, and number {number} is none of them. "
            "Choose another, or a picture in which it finds some."
        )
    device = next(model.parameters()).device
    seen, _ = model.transform([image.to(device)])
    height, width = seen.image_sizes[0]
    scale = torch.tensor([width / picture.width, height / picture.height]).repeat(2)
    subject = BoxScores(model, (found.boxes[number - 1] * scale).to(device)).eval()
    label = int(found.labels[number - 1])
    explained = make_method(method, layer=layer or subject.layer)(subject, seen.tensors, Classes((label,)))
    padded = (seen.tensors.shape[-2], seen.tensors.shape[-1])
    return ExplainedDetection(
        picture,
        found,
        number,
        upsample(explained.heatmap[0], padded)[:height, :width].cpu(),
        method,
        explained.signed,
        explained.layer,
        float(explained.probabilities[0, label]),
    )


def write_detection(path: Path, explained: ExplainedDetection, class_names: tuple[str, ...]) -> None:
    """A sheet: the object's box and outline on the picture, and on the heat map; beside it, what it shows as JSON.

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
    check_writable(path.parent)
    about = path.with_suffix(".json")
    check_own_file(about, _JOB)
    if not about.exists() and os.path.lexists(path):
        raise DataError(f"`{path}` is there already, and no `{_JOB}` wrote it. Move it away, or choose another output.")
    shown = {
        "number": explained.number,
        "class": name,
        "box": found.boxes[at].tolist(),
        "score": float(found.scores[at]),
    }
    read = {"method": explained.method, "layer": explained.layer, "probability": explained.probability}
    write_json(about, {"job": _JOB, "sheet": path.name, "versions": versions(), **shown, **read})
    with whole_file(path) as part:
        save_page(sheet(panels, title=name, subtitle=subtitle), part)
