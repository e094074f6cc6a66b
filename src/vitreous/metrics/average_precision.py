"""COCO's average precision of boxes and masks. Needs torchmetrics and pycocotools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from torch import Tensor

from vitreous.errors import MissingExtra

if find_spec("pycocotools") is None:  # torchmetrics needs it later, and would say so in words of its own
    raise MissingExtra("pycocotools", "detect")
try:
    from torchmetrics import detection
except ImportError:
    raise MissingExtra("torchmetrics", "detect") from None

__all__ = ["AveragePrecision", "DetectionPrecision", "DetectionScore"]


@dataclass(frozen=True)
class AveragePrecision:
    """Area under precision over recall, averaged over classes, 0 to 1; None where nothing could be found.

    Attributes:
        ap: averaged over the overlaps 0.50, 0.55 … 0.95 from which on an object counts as found.
        ap_50: at an overlap (intersection over union) of 0.50.
        ap_75: at 0.75.
        small: `ap` of objects under 32² pixels.
        medium: from 32² to 96².
        large: over 96².
    """

    ap: float | None
    ap_50: float | None
    ap_75: float | None
    small: float | None
    medium: float | None
    large: float | None


@dataclass(frozen=True)
class DetectionScore:
    """AP^b, overlap taken between boxes, and AP^m, between masks."""

    boxes: AveragePrecision
    masks: AveragePrecision


class DetectionPrecision:
    """Collects pictures, over several processes where torch.distributed knows of them, and computes at the end.

    At most 100 detections of a picture count, the surest of each class, as COCO has it.

    Source: Lin et al., Microsoft COCO, ECCV 2014, by pycocotools. Cost: the run lengths of all masks in memory.
    """

    def __init__(self) -> None:
        # given in double precision: torchmetrics' own recalls are rounded to single, and a recall of 3/5 misses 0.6
        overlaps, recalls = np.linspace(0.5, 0.95, 10).tolist(), np.linspace(0, 1, 101).tolist()
        self._metric = detection.MeanAveragePrecision(
            iou_type=("bbox", "segm"), iou_thresholds=overlaps, rec_thresholds=recalls
        )

    def update(self, found: Mapping[str, Tensor], there: Mapping[str, Tensor]) -> None:
        """Add a picture.

        Args:
            found: `boxes` (objects, 4), left, top, right, bottom; `labels`, `scores` (objects,); `masks` (objects,
                height, width), boolean.
            there: `boxes`, `labels` and `masks` likewise, `crowd`, boolean, and `areas` in pixels, which decide what
                is small, medium and large. What is found on a crowd counts as neither right nor wrong.
        """
        truth = {name: there[name] for name in ("boxes", "labels", "masks")}
        self._metric.update([dict(found)], [{**truth, "iscrowd": there["crowd"].int(), "area": there["areas"]}])

    def compute(self) -> DetectionScore:
        """The same in every process."""
        values: Any = self._metric.compute()
        return DetectionScore(_read(values, "bbox"), _read(values, "segm"))


def _read(values: dict[str, Tensor], kind: str) -> AveragePrecision:
    numbers = (values[f"{kind}_map{name}"].item() for name in ("", "_50", "_75", "_small", "_medium", "_large"))
    return AveragePrecision(*(None if number < 0 else number for number in numbers))
