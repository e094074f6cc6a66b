"""Does a concept expose the shortcut that no heat map showed? Concepts of the chest CT model, and what is known of it.

    python shortcut.py DATA MODEL OUTPUT

DATA and MODEL are what results/shortcut_chest_ct made; needs scikit-image. Concepts are found in training slices of
both classes, and looked at in slices of the other splits. Writes to OUTPUT, a CSV file, a row for each concept and one
for the random directions: how far taking it out moves the margin, how far its amount moves when one thing is changed in
the slices, and how its amount in patches goes with their brightness.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import vitreous
from vitreous.inside.concepts import Concepts, in_patches
from vitreous.inside.effects import random_directions
from vitreous.trace.features import patch_features

sys.path.append(str(Path(__file__).parents[1] / "shortcut_chest_ct"))
from study import CANCER, NORMAL, Array, changes, pixels, regions

FOUND_IN, LOOKED_AT = 40, 40
CONCEPTS, DRAWS, RANDOM = 5, 40, 100


def main(data: Path, path: Path, output: Path) -> None:
    """Make the table."""
    model = vitreous.load(path)
    train, val, test = (pixels(data, split) for split in ("train", "val", "test"))
    means = [float(train.images[train.label == kind].mean()) for kind in (CANCER, NORMAL)]
    draw = np.random.default_rng(0).permutation
    chosen = [draw(np.flatnonzero(train.label == kind))[:FOUND_IN] for kind in (CANCER, NORMAL)]
    known = [train.images[at] for each in chosen for at in each]
    cancers = draw(np.flatnonzero(test.label == CANCER))[:LOOKED_AT]
    slices = [(test.images[at], CANCER) for at in cancers]
    slices += [(gray, NORMAL) for part in (test, val) for gray in part.images[part.label == NORMAL]]

    found = vitreous.concepts(model, shown(known), CONCEPTS)
    effects = vitreous.concept_effects(
        model, shown([gray for gray, _ in slices]), found, margin, draws=DRAWS, batch_size=32
    )
    rows = features(model, found.layer, known).movedim(1, -1).flatten(0, 2).double()
    others = random_directions(rows, RANDOM, torch.Generator().manual_seed(1))
    drawn = [Concepts(found.maps[:, :1], each[None], found.mean, 0.0, found.layer) for each in others]

    amounts = {
        name: features(model, found.layer, [change(*each) for each in slices])
        for name, change in changes(means).items()
    }
    told = [moves(one, amounts, slices) for one in (*split(found), *drawn)]
    table: list[dict[str, Any]] = []
    for at in range(CONCEPTS):
        table.append(
            {
                "concept": at,
                "share": round(found.shares[at].item(), 3),
                "margin_without": round(effects.removed[:, at].mean().item(), 4),
                "chance": round(effects.chance[at].item(), 3),
                **{name: round(value, 3) for name, value in told[at].items()},
                **{
                    f"as_far_{name}": round(as_far(value, [each[name] for each in told[CONCEPTS:]]), 3)
                    for name, value in told[at].items()
                },
            }
        )
    random = {name: np.abs([each[name] for each in told[CONCEPTS:]]) for name in told[0]}
    means_of = effects.removed_by_chance.double().mean(1).abs()
    table.append(
        {
            "concept": f"random, 95th percentile of {RANDOM}",
            "margin_without": round(means_of.flatten().quantile(0.95).item(), 4),
            **{name: round(float(np.percentile(values, 95)), 3) for name, values in random.items()},
        }
    )
    with output.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    print(output.read_text(), f"explained {found.explained:.3f} of {found.layer}, {len(slices)} slices")


def shown(slices: list[Array]) -> list[Image.Image]:
    """As pictures."""
    return [Image.fromarray(gray).convert("RGB") for gray in slices]


def margin(logits: torch.Tensor) -> torch.Tensor:
    """Cancer rather than normal."""
    return logits[:, CANCER] - logits[:, NORMAL]


def features(model: Any, layer: str, slices: list[Array]) -> torch.Tensor:
    """The layer's features of slices."""
    prepared = torch.stack([model.prepared()(each) for each in shown(slices)])
    return patch_features(model.model, prepared, layer).maps.cpu()


def split(found: Concepts) -> list[Concepts]:
    """Each concept alone, so that one is measured as a random direction is: by itself."""
    return [
        Concepts(found.maps[:, [at]], found.directions[[at]], found.mean, 0.0, found.layer)
        for at in range(len(found.directions))
    ]


def moves(one: Concepts, amounts: dict[str, torch.Tensor], slices: list[tuple[Array, int]]) -> dict[str, float]:
    """How far a concept's mean amount moves by each change, in deviations over slices, and what it goes with."""
    before = in_patches(amounts["nothing"], one)[:, 0]
    each = before.mean((1, 2))
    spread = each.std().item() or 1.0
    told = {
        name: ((in_patches(maps, one)[:, 0].mean((1, 2)) - each).abs().mean() / spread).item()
        for name, maps in amounts.items()
        if name != "nothing"
    }
    height, width = before.shape[1:]
    gray = np.stack([patches(slice_.astype(float), height, width) for slice_, _ in slices])
    body = np.stack([patches(~regions(slice_)["outside"], height, width) for slice_, _ in slices])
    kind = np.array([label for _, label in slices], float)
    told["with_brightness"] = float(np.corrcoef(before.flatten(), gray.flatten())[0, 1])
    told["with_body"] = float(np.corrcoef(before.flatten(), body.flatten())[0, 1])
    told["slices_with_brightness"] = float(np.corrcoef(each, gray.mean((1, 2)))[0, 1])
    told["slices_with_class"] = float(np.corrcoef(each, kind)[0, 1])
    return {name: 0.0 if np.isnan(value) else value for name, value in told.items()}


def patches(values: Array, height: int, width: int) -> Array:
    """The mean of each patch."""
    return values.reshape(height, values.shape[0] // height, width, -1).mean((1, 3))


def as_far(own: float, drawn: list[float]) -> float:
    """How often a random direction has as much, counted with the concept itself."""
    return (1 + sum(abs(each) >= abs(own) for each in drawn)) / (1 + len(drawn))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
