"""One of two processes that train together, as `test_processes` starts them: with an archive, a folder and recipes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from tests.training.test_classify import RECIPE
from tests.training.test_teacher import DISTILL, HINTED
from vitreous.data.labelled import load_labelled
from vitreous.training import classify
from vitreous.training.recipe import Augment, Recipe

SALG = {"embed_dim": 8, "depths": [1, 1, 1, 1]}
PLAIN = replace(RECIPE, epochs=2, augment=Augment(), arguments={**RECIPE.arguments, "drop_path_rate": 0.0})
RECIPES = {
    "plain": PLAIN,
    "everything": replace(RECIPE, architecture="salg_st", image_size=32, arguments=SALG, drop_path=0.3, epochs=2),
    "distilled": replace(PLAIN, distill=DISTILL),
    "hinted": replace(PLAIN, distill=HINTED),
}


def trained(recipe: Recipe, archive: Path, output: Path) -> tuple[dict[str, Any], list[classify.EpochDone]]:
    """What the run holds at its end, and its epochs."""
    seen: list[Any] = []

    class Seen(classify._State):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            seen.append(self)

    kept, classify._State = classify._State, Seen
    try:
        teacher = archive.with_name("teacher.safetensors")
        run = list(classify.train(recipe, load_labelled(archive), output, teacher=teacher))
    finally:
        classify._State = kept
    return seen[0].tensors(), [done for done in run if isinstance(done, classify.EpochDone)]


def main() -> None:
    torch.set_num_threads(1)
    archive, output = Path(sys.argv[1]), Path(sys.argv[2])
    dist.init_process_group("gloo")
    results = {name: trained(RECIPES[name], archive, output / name) for name in sys.argv[3:]}
    kept = {name: (tensors, [vars(row) for row in rows]) for name, (tensors, rows) in results.items()}
    torch.save(kept, output / str(dist.get_rank()))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
