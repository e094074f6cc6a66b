"""Tables of the even and the odd rows of three data sets, beside links to their pictures: `python halves.py DATA OUT`.

DATA holds imagenet_sample, cub50 and tiny_imagenet20; a table's splits are `even` and `odd`.
"""

import csv
import sys
from pathlib import Path

import numpy as np

data, out = map(Path, sys.argv[1:])


def write(folder: str, rows: list[dict[str, object]]) -> Path:
    """A table whose rows are in the two splits in turn."""
    (out / folder).mkdir(parents=True, exist_ok=True)
    with (out / folder / "list.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "split"])
        writer.writeheader()
        writer.writerows([row | {"split": ("even", "odd")[at % 2]} for at, row in enumerate(rows)])
    return out / folder


for name, table, columns in (
    ("imagenet_sample", "labels.csv", ("index", "name", "file")),
    ("cub50", "annotations.csv", ("file", "label", "species", "x0", "y0", "x1", "y1")),
):
    with (data / name / table).open(newline="") as file:
        folder = write(name, [{column: row[column] for column in columns} for row in csv.DictReader(file)])
    (folder / "images.zip").symlink_to((data / name / "images.zip").resolve())

archive = np.load(data / "tiny_imagenet20/tiny_imagenet20.npz")
jpeg, offset, box = archive["jpeg"], archive["offset"], archive["box"].astype(int)
rows: list[dict[str, object]] = []
for at in np.flatnonzero((archive["split"] == 1) & archive["box_valid"]).tolist():
    path = out / "tiny_imagenet20/images" / f"{at}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(jpeg[offset[at] : offset[at + 1]].tobytes())
    x0, y0, x1, y1 = box[at].tolist()
    rows.append({"file": path.name, "label": int(archive["label"][at]), "x0": x0, "y0": y0, "x1": x1 + 1, "y1": y1 + 1})
write("tiny_imagenet20", rows)
