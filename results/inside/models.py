"""Does a class rest on its concepts? Concepts found in training pictures, taken out in validation pictures.

    python models.py MODEL CHECKPOINT ARCHIVE CLASS CONCEPTS DRAWS PICTURES OUTPUT

MODEL is a spec of `vitreous.load`, CHECKPOINT its weights or "-", ARCHIVE an npz archive with train and val, CLASS one
of the model's. A row for each concept is added to OUTPUT, a CSV file, with p after Holm's correction for the concepts
of the class; and one to artifacts.csv beside it, of the same validation pictures.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import vitreous
from vitreous.inside.concept_table import concept_rows
from vitreous.inside.gathered import Gathered, gather, of_class, open_pictures
from vitreous.statistics.summary import holm


def main(words: Sequence[str]) -> None:
    """Add the rows."""
    spec, checkpoint, archive, name, *numbers, output = words
    count, draws, limit = map(int, numbers)
    model = vitreous.load(spec, checkpoint=None if checkpoint == "-" else Path(checkpoint))
    target, pictures = None, dict[str, Gathered]()
    for split in ("train", "val"):
        samples, target = of_class(open_pictures(f"npz:{archive}:{split}"), name, model)
        pictures[split] = gather(model, samples, limit, 0)
    about = {"model": spec, "data": Path(archive).stem, "class": name, "pictures": limit}

    found = vitreous.concepts(model, pictures["train"].images, count)
    effects = vitreous.concept_effects(model, pictures["val"].images, found, target, draws=draws)
    rows = concept_rows(found, effects)
    corrected = holm([row.chance or 1.0 for row in rows])
    add(
        Path(output),
        [
            {
                **about,
                "layer": found.layer,
                "explained": round(found.explained, 3),
                "concept": row.concept,
                "share": round(row.share, 3),
                "score": round(effects.scores.mean().item(), 3),
                "removed": round(row.removed or 0, 3),
                "random_low": round(row.random_low or 0, 3),
                "random_high": round(row.random_high or 0, 3),
                "draws": draws,
                "p": round(row.chance or 1, 4),
                "p_holm": round(p, 4),
            }
            for row, p in zip(rows, corrected, strict=True)
        ],
    )

    odd = vitreous.artifact_effects(model, pictures["val"].images, target, draws=19)
    some = odd.hidden.flatten(1).any(1)
    add(
        Path(output).with_name("artifacts.csv"),
        [
            {
                **about,
                "score": round(odd.found.score, 4),
                "pictures_with_some": int(some.sum()),
                "most_in_a_block": round(odd.found.share.max().item(), 4),
                "attention_on_them": round(odd.mass[some].mean().item(), 3) if some.any() else "",
                "likeness_elsewhere": round(odd.likeness[some].mean().item(), 3) if some.any() else "",
                "score_moved": round(odd.moved.abs().mean().item(), 3),
                "draws": 19,
                "by_chance": round(odd.moved_by_chance.abs().mean().item(), 3),
                "p": round(odd.chance, 3),
            }
        ],
    )


def add(file: Path, rows: list[dict[str, Any]]) -> None:
    """Add rows to a table, under a heading where it is new."""
    new = not file.exists()
    with file.open("a", newline="") as table:
        writer = csv.DictWriter(table, list(rows[0]), lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)
    print(*rows, sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
