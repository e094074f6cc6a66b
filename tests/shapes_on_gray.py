"""A tiny data set in COCO's format: squares and discs on a noisy ground."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

COLORS = ((220, 60, 40), (40, 90, 220))
NAMES = ("square", "disc")


def draw_set(folder: Path, pictures: int = 4, size: tuple[int, int] = (64, 96), split: str = "train") -> Path:
    """Folder with annotations/instances_SPLIT.json and SPLIT/N.png; every picture has a square and a disc."""
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    (folder / split).mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    height, width = size
    y, x = np.mgrid[:height, :width] + 0.5
    images: list[Any] = []
    annotations: list[Any] = []
    for at in range(pictures):
        pixels = rng.integers(100, 140, (height, width, 3)).astype(np.uint8)
        for kind in (0, 1):
            half = int(rng.integers(8, 14))
            top = int(rng.integers(2, height - 2 * half - 2))
            left = int(rng.integers(2, width // 2 - 2 * half - 2)) + kind * width // 2
            box = [left, top, 2 * half, 2 * half]
            corners = [left, top, left + 2 * half, top, left + 2 * half, top + 2 * half, left, top + 2 * half]
            disc = np.hypot(y - top - half, x - left - half) < half
            pixels[disc if kind else (slice(top, top + 2 * half), slice(left, left + 2 * half))] = COLORS[kind]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": 10 * at,
                    "category_id": (3, 18)[kind],
                    "bbox": box,
                    "area": int(disc.sum()) if kind else 4 * half * half,
                    "iscrowd": 0,
                    "segmentation": {"size": [height, width], "counts": run_lengths(disc)} if kind else [corners],
                }
            )
        Image.fromarray(pixels).save(folder / split / f"{at}.png")
        images.append({"id": 10 * at, "file_name": f"{at}.png", "height": height, "width": width})
    categories = [{"id": 18, "name": "disc"}, {"id": 3, "name": "square"}]
    values = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(values), encoding="utf-8")
    return folder


def run_lengths(mask: np.ndarray[Any, Any]) -> list[int]:
    """Lengths of the runs of 0 and 1 in turn, down the columns."""
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    starts = [0, *edges, len(flat)]
    lengths = np.diff(starts).tolist()
    return [0, *lengths] if flat[0] else lengths
