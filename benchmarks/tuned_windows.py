"""Windows that attention is fine-tuned in: accuracy of the frozen model inside them, and after fine-tuning.

    vitreous train KIND.toml --seed SEED --start START [--teacher START] --data DATA --output STUDY/KIND/SEED …
    python benchmarks/tuned_windows.py STUDY --start START --data DATA --output results/STUDY [--reference fixed]

Each run has fields of its own; the frozen model is START inside them. Values are means over seeds, intervals and stars
from a paired bootstrap over the validation pictures. Writes summary.md and summary.csv.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vitreous.data.labelled import LabelledPictures, load_labelled
from vitreous.interacting.verification.indicators import Means
from vitreous.models.zoo import load
from vitreous.statistics.summary import Array, Values, summarize
from vitreous.statistics.tables import Table, write_tables
from vitreous.training.batches import validation_batches
from vitreous.training.recipe import Recipe, read_recipe
from vitreous.training.start import start_from


@torch.no_grad()
def correct(model: Any, recipe: Recipe, pictures: LabelledPictures) -> Array:
    """(pictures, 1), 1 where the model is right."""
    batches = validation_batches(recipe, pictures, workers=0)
    return torch.cat([model(images).argmax(1) == labels for images, labels in batches])[:, None].double().numpy()


def read_run(run: Path, start: Path, pictures: LabelledPictures) -> tuple[float, dict[str, Array]]:
    """The density of a run's fields, and which pictures are right inside them."""
    model: Any = load(run).model
    recipe = read_recipe(run / "recipe.toml")
    tuned = correct(model, recipe, pictures)
    start_from(model, start)  # a plain ViT has no fields, so these stay
    density = torch.stack([block.field for block in model.blocks]).double().mean().item()
    return density, {"frozen": correct(model, recipe, pictures), "tuned": tuned}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--start", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--reference", default="fixed")
    options = parser.parse_args()

    _, pictures, _ = load_labelled(options.data)
    runs: dict[str, list[dict[str, Array]]] = defaultdict(list)
    notes: list[str] = []
    for run in sorted(path.parent for path in options.study.glob("*/*/summary.json")):
        density, right = read_run(run, options.start, pictures)
        runs[run.parent.name].append(right)
        notes.append(f"{run.parent.name}, seed {run.name}: density {density:.4f}.")
    if options.reference not in runs:
        raise SystemExit(f"{options.study} has no finished run {options.reference}/SEED. Train some first.")
    judge, name = Means(("frozen", "tuned")), options.start.name
    found = {
        kind: Values({each: np.mean([its[each] for its in seeds], 0) for each in judge.names}, np.ones(len(pictures)))
        for kind, seeds in runs.items()
    }
    cells = summarize(name, "top-1", judge, found, reference=options.reference, resamples=2000, seed=0)
    title = f"{name} inside windows, frozen and fine-tuned, on {len(pictures)} pictures"
    table = Table(title, cells, {}, {}, list(found), options.reference, notes)
    options.output.mkdir(parents=True, exist_ok=True)
    print(*write_tables(table, options.output)[:2], sep="\n")


if __name__ == "__main__":
    main()
