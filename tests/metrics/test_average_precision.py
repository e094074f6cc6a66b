"""COCO's average precision, against pycocotools called directly, and by hand."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools import mask as coco
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vitreous.metrics.average_precision import DetectionPrecision

SIZE = (120, 160)


def objects(rng: np.random.Generator, count: int) -> dict[str, torch.Tensor]:
    """Random boxes, filled as ellipses."""
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    boxes, masks = [], []
    for _ in range(count):
        width, height = rng.integers(8, 110, 2)
        left, top = rng.integers(0, SIZE[1] - width + 1), rng.integers(0, SIZE[0] - height + 1)
        boxes.append([left, top, left + width, top + height])
        masks.append(((x - left - width / 2) / width) ** 2 + ((y - top - height / 2) / height) ** 2 < 0.25)
    filled = torch.from_numpy(np.stack(masks))
    return {
        "boxes": torch.tensor(boxes).float(),
        "labels": torch.from_numpy(rng.integers(1, 3, count)),
        "masks": filled,
        "areas": filled.sum((1, 2)).float(),
        "crowd": torch.from_numpy(rng.random(count) < 0.1),
    }


def shaken(rng: np.random.Generator, there: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Detections near the truth, some of another class, and a few of nothing."""
    more = objects(rng, 2)
    moved = there["boxes"] + torch.from_numpy(rng.normal(0, 3, there["boxes"].shape)).float()
    rolled = torch.stack([mask.roll(tuple(rng.integers(-3, 4, 2).tolist()), (0, 1)) for mask in there["masks"]])
    labels = torch.cat([there["labels"], more["labels"]])
    return {
        "boxes": torch.cat([moved, more["boxes"]]),
        "labels": torch.where(torch.from_numpy(rng.random(len(labels)) < 0.15), 3 - labels, labels),
        "scores": torch.from_numpy(rng.random(len(labels))).float(),
        "masks": torch.cat([rolled, more["masks"]]),
    }


def directly(pairs: list[Any], kind: str) -> list[float]:
    """The first six figures of pycocotools."""

    def rows(which: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for picture, pair in enumerate(pairs, 1):
            each = pair[which]
            for at, (left, top, right, bottom) in enumerate(each["boxes"].tolist()):
                row: dict[str, Any] = {
                    "image_id": picture,
                    "category_id": int(each["labels"][at]),
                    "bbox": [left, top, right - left, bottom - top],
                    "segmentation": coco.encode(np.asfortranarray(each["masks"][at].numpy().astype(np.uint8))),
                }
                if which:
                    row |= {"area": float(each["areas"][at]), "iscrowd": int(each["crowd"][at])}
                else:
                    row |= {"score": float(each["scores"][at])}
                    row.pop(
                        {"bbox": "segmentation", "segm": "bbox"}[kind]
                    )  # pycocotools takes the area of what is there
                found.append({**row, "id": len(found) + 1})
        return found

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        images = [{"id": at, "height": SIZE[0], "width": SIZE[1]} for at in range(1, len(pairs) + 1)]
        truth.dataset = {"images": images, "annotations": rows(1), "categories": [{"id": 1}, {"id": 2}]}
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(rows(0)), kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats[:6].tolist()


def test_it_is_pycocotools() -> None:
    rng = np.random.default_rng(0)
    pairs = []
    precision = DetectionPrecision()
    for _ in range(12):
        there = objects(rng, 5)
        pairs.append((shaken(rng, there), there))
        precision.update(*pairs[-1])
    score = precision.compute()
    for given, kind in ((score.boxes, "bbox"), (score.masks, "segm")):
        assert [-1 if value is None else value for value in vars(given).values()] == pytest.approx(
            directly(pairs, kind), abs=1e-6
        )
    assert 0.1 < (score.boxes.ap or 0) < 0.9


def test_by_hand() -> None:
    """One of two objects found exactly: precision 1 up to recall 0.5, so 51 of the 101 recalls."""
    there = objects(np.random.default_rng(1), 2)
    there["labels"][:], there["crowd"][:] = 1, False
    found = {name: there[name][:1] for name in ("boxes", "labels", "masks")} | {"scores": torch.ones(1)}
    precision = DetectionPrecision()
    precision.update(found, there)
    score = precision.compute()
    assert score.boxes.ap == score.masks.ap_75 == pytest.approx(51 / 101)


def test_sizes_that_are_not_there_have_no_figure() -> None:
    there = objects(np.random.default_rng(2), 1)
    there["areas"][:] = 20.0
    precision = DetectionPrecision()
    precision.update({**there, "scores": torch.ones(1)}, there | {"crowd": torch.zeros(1, dtype=torch.bool)})
    score = precision.compute()
    assert (score.boxes.small, score.boxes.medium, score.boxes.large) == (pytest.approx(1), None, None)
