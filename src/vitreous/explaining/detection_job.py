"""What a detector finds in a picture file, explained as asked, on a sheet that says how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vitreous.data.depth import Window
from vitreous.data.objects import read_scenes
from vitreous.data.pictures import open_picture
from vitreous.explaining.detections import (
    ExplainedClass,
    ExplainedDetection,
    explain_class,
    explain_detection,
    write_class,
    write_detection,
)
from vitreous.explaining.targets import class_named
from vitreous.files.ledger import full_path, told_from
from vitreous.files.manifest import digest_of
from vitreous.files.reading import within
from vitreous.models.card import WEIGHTS
from vitreous.models.detection.card import load_detector

__all__ = ["DetectionJob", "ExplainedObjects", "explain_objects", "write_objects"]


@dataclass(frozen=True)
class DetectionJob:
    """What to explain, and how.

    Attributes:
        model: a folder that `vitreous detect train` wrote.
        picture: a file.
        number: the detection, counted from 1, surest first.
        of_class: name of a class all of whose objects are explained in its place; empty for one detection.
        least: score of an object that counts, of a class.
        truth: data in COCO's layout that the picture is of, of a class; None where it is not known.
        split: of it.
        method: one that reads a layer.
        layer: that it reads; empty for the level that a box is read from.
        window: of gray values of more than 8 bits, as in `open_picture`.
    """

    model: Path
    picture: Path
    number: int = 1
    of_class: str = ""
    least: float = 0.5
    truth: Path | None = None
    split: str = "val2017"
    method: str = "grad_cam"
    layer: str = ""
    window: Window = None


@dataclass(frozen=True)
class ExplainedObjects:
    """What came of a job.

    Attributes:
        job: that it was.
        found: one detection, or all of a class.
        class_names: of the detector.
        about: hashes of the weights and of the data, and the device.
    """

    job: DetectionJob
    found: ExplainedDetection | ExplainedClass
    class_names: tuple[str, ...]
    about: Mapping[str, Any]


def explain_objects(job: DetectionJob, device: torch.device) -> ExplainedObjects:
    """Explain a detection, or all of a class.

    Raises:
        DataError: the picture or the data cannot be read, or there is no such object.
        ExplainError: the detector cannot be loaded; or as `explain_detection`.

    Cost: as `explain_detection`, for each object.
    """
    shown = open_picture(job.picture, job.window)
    detector, card = load_detector(job.model, device)
    about = {"weights_sha256": digest_of(job.model / WEIGHTS), "truth_sha256": None, "device": str(device)}
    how = {"method": job.method, "layer": job.layer}
    if not job.of_class:
        return ExplainedObjects(job, explain_detection(detector, shown, job.number, **how), card.class_names, about)
    label, given = 1 + class_named(job.of_class, card.class_names), None
    if job.truth:
        scenes = read_scenes(job.truth, job.split)
        about["truth_sha256"] = scenes.fingerprint
        given = scenes.boxes_of(job.picture.name, card.class_names[label - 1])
    found = explain_class(detector, shown, label, least=job.least, given=given, **how)
    return ExplainedObjects(job, found, card.class_names, about)


def write_objects(path: Path, explained: ExplainedObjects) -> None:
    """A sheet, and beside it as JSON what it shows and how it was made.

    The picture is called by its place from there; the detector and the data are called what they were called.

    Raises:
        ShapeError: the map is constant.
        DataError: a file cannot be written, or is there already and not of an earlier call.
    """
    job, found, names = explained.job, explained.found, explained.class_names
    run = {
        **vars(job),
        "model": str(job.model),
        "picture": told_from(path.parent, full_path(job.picture)),
        "picture_sha256": digest_of(within(job.picture)[0]),
        "truth": job.truth and str(job.truth),
        **explained.about,
    }
    if isinstance(found, ExplainedDetection):
        write_detection(path, found, names, run)
    else:
        write_class(path, found, names[class_named(job.of_class, names)], run)
