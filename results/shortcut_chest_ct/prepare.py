"""Chest CT slices as `vitreous train` reads them: train, val and test folders of `cancer` and `normal`, 96 × 96, gray.

    python prepare.py CHEST_CT OUTPUT

CHEST_CT holds labels.csv and images.zip. Whole slices are squashed to a square, so that no margin is cropped away. Test
slices with a twin among the others (`test_leak_near`) are left out.
"""

from __future__ import annotations

import csv
import sys
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

from PIL import Image

SPLITS = {"train": "train", "valid": "val", "test": "test"}


def main(source: Path, output: Path) -> None:
    """Write the folders."""
    with (source / "labels.csv").open(newline="") as table, ZipFile(source / "images.zip") as archive:
        for row in csv.DictReader(table):
            if row["split"] == "test" and row["test_leak_near"] == "1":
                continue
            picture = Image.open(BytesIO(archive.read(row["file"]))).convert("L")
            kind = "normal" if row["class"] == "normal" else "cancer"
            folder = output / SPLITS[row["split"]] / kind
            folder.mkdir(parents=True, exist_ok=True)
            name = row["file"].split("/", 1)[1].replace("/", "_").replace(".jpg", ".png")
            picture.resize((96, 96), Image.Resampling.LANCZOS).save(folder / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
