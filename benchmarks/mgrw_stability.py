"""Whether MGRW finds the same blocks by other walks: how much the reducts of several seeds have in common.

    python benchmarks/mgrw_stability.py FOLDER [--model default] [--walks 100] [--seeds 3] [--pictures 8]

Of every two seeds' blocks, those in both over those in either, coarse and fine (halves of the model's own patches); the
mean over pairs and pictures, and its standard error over pictures.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np

import vitreous
from vitreous.data.finding import find_pictures
from vitreous.methods.reduct import Reduct


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--walks", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=8)
    options = parser.parse_args()

    model = vitreous.load(options.model)
    shares: dict[str, list[float]] = {"coarse": [], "fine": []}
    for picture in find_pictures([options.folder])[: options.pictures]:
        found = [
            vitreous.explain(model, picture, "mgrw", walks=options.walks, fine="same", seed=seed).details[0]
            for seed in range(options.seeds)
        ]
        for name, its in shares.items():
            kept = [each.levels[name].kept for each in found if isinstance(each, Reduct)]
            its.append(float(np.mean([float((a & b).sum() / (a | b).sum()) for a, b in combinations(kept, 2)])))
    for name, its in shares.items():
        print(f"{name:<7} {np.mean(its):.3f} ± {np.std(its, ddof=1) / len(its) ** 0.5:.3f}, {len(its)} pictures")


if __name__ == "__main__":
    main()
