"""What a detector is worth on pictures with objects."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import asdict, replace
from pathlib import Path

import torch

from vitreous.data.depth import Window
from vitreous.data.objects import read_scenes
from vitreous.files.manifest import check_own_file, digest_of, versions
from vitreous.files.writing import check_writable, write_json
from vitreous.metrics.average_precision import DetectionScore
from vitreous.models.card import WEIGHTS
from vitreous.models.detection.card import load_detector
from vitreous.training.detection.detection_score import check_classes, judge
from vitreous.training.log import Judged
from vitreous.training.processes import Processes

__all__ = ["JOB", "evaluate_detector"]

JOB = "detect evaluate"
"""What made the file."""


def evaluate_detector(
    folder: Path,
    data: Path,
    split: str,
    output: Path,
    *,
    device: torch.device,
    workers: int = 0,
    window: Window = None,
    progress: Callable[[int, int], None] | None = None,
) -> DetectionScore:
    """COCO's average precision of a detector on one split of a data set, also written to `output` as JSON.

    Args:
        folder: that `vitreous detect train` wrote.
        data: a folder, or zip archive, in COCO's layout.
        split: of it.
        output: the file: the figures, and what they depend on.
        device: where to compute.
        workers: processes that prepare pictures; 0 prepares them in turn.
        window: of gray pictures of more than 8 bits, as in `open_picture`.
        progress: told how many pictures are done, and how many there are.

    Raises:
        ModelError: there is no detector in the folder.
        DataError: the data cannot be read or is of other classes, or the file cannot be written.
        MissingExtra: pycocotools or torchmetrics is not installed.

    Cost: a forward pass per picture.
    """
    check_writable(output.parent)
    check_own_file(output, JOB)
    detector, card = load_detector(folder, device)
    scenes = replace(read_scenes(data, split), window=window)
    check_classes(card, scenes)
    score = _followed(judge(detector, scenes, Processes(device), workers=workers), progress or (lambda done, of: None))
    about = {
        "job": JOB,
        "model": str(folder),
        "weights_sha256": digest_of(folder / WEIGHTS),
        "data": str(data),
        "data_sha256": scenes.fingerprint,
        "split": split,
        "pictures": len(scenes),
        "window": window,
        "device": str(device),
        "versions": versions(),
    }
    write_json(output, {**asdict(score), **about})
    return score


def _followed(judged: Generator[Judged, None, DetectionScore], progress: Callable[[int, int], None]) -> DetectionScore:
    """What comes of it at last."""
    while True:
        try:
            each = next(judged)
        except StopIteration as ended:
            return ended.value
        progress(each.done, each.pictures)
