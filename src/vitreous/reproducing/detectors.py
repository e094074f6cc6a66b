"""What a detector is worth, and what it was shown to look at, made again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vitreous.data.depth import Window
from vitreous.data.objects import read_scenes
from vitreous.errors import DataError
from vitreous.evaluation.detection import evaluate_detector
from vitreous.explaining.detection_job import DetectionJob, explain_objects, write_objects
from vitreous.files.manifest import digest_of
from vitreous.files.reading import read_json
from vitreous.methods import METHODS
from vitreous.models.card import WEIGHTS
from vitreous.reproducing.asked import REMEDY, Asked
from vitreous.reproducing.compare import Compared
from vitreous.reproducing.written import compare_trees, compare_written
from vitreous.settings.typed import typed, typed_fields

__all__ = ["detections", "precision"]


def precision(asked: Asked) -> Iterator[Compared]:
    """The average precisions of a detector."""
    before, file = asked.values, asked.output / asked.path.name
    model, data, split = _model(asked), Path(asked.dataset(before["data"])), typed(str, before["split"])
    _check_data(data, split, before["data_sha256"])
    evaluate_detector(model, data, split, file, device=asked.device, window=typed(Window, before["window"]))
    after = read_json(file, REMEDY)
    for kind in ("boxes", "masks"):
        yield compare_trees(kind, before[kind], after[kind])


def detections(asked: Asked) -> Iterator[Compared]:
    """The sheet of a detection, or of a class, and the figures beside it."""
    told, picture = asked.values, asked.file("picture")
    if picture is None:
        raise DataError(f"`{asked.path}` tells of no picture. {REMEDY}")
    names = ("number", "of_class", "least", "split", "method", "layer", "window")
    given = typed_fields(DetectionJob, {name: told[name] for name in names}, f"`{asked.path}`", DataError)
    if given["method"] not in METHODS:
        asked.check_own(given["method"])
    truth = None if told["truth"] is None else Path(asked.dataset(told["truth"]))
    if truth:
        _check_data(truth, given["split"], told["truth_sha256"])
    sheet = f"{asked.path.stem}{Path(typed(str, told['sheet'])).suffix}"
    explained = explain_objects(DetectionJob(_model(asked), picture, truth=truth, **given), asked.device)
    write_objects(asked.output / sheet, explained)
    files = (folder / asked.path.name for folder in (asked.folder, asked.output))
    yield compare_trees(asked.path.name, *(_figures(read_json(file, REMEDY)) for file in files))
    yield compare_written(sheet, asked.folder / sheet, asked.output / sheet)


def _model(asked: Asked) -> Path:
    """The detector's folder, once it has the weights that it had."""
    folder = Path(typed(str, asked.values["model"]))
    asked.check_weights(digest_of(folder / WEIGHTS), asked.values["weights_sha256"], str(folder))
    return folder


def _check_data(data: Path, split: str, told: str | None) -> None:
    """Refuse other data than the manifest's."""
    if read_scenes(data, split).fingerprint != told:
        raise DataError(
            f"`{data}` is not what it was: its annotations, or sizes or times of its pictures, differ. Put back what "
            "it was; a copy keeps its times by cp -p."
        )


def _figures(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is found, without how."""
    return {name: each for name, each in values.items() if name not in ("job", "sheet", "versions", "run")}
