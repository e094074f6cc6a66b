"""The recipe of `everyday26`, from scratch and without its teacher, for the time that is left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
from benchmarks.device.runner import Row, Setup
from PIL import Image

import vitreous.models
from vitreous.data.labelled import load_labelled
from vitreous.training.classify import train
from vitreous.training.log import EpochDone, StepDone
from vitreous.training.recipe import read_recipe

RECIPE = Path(vitreous.models.__file__).parent / "everyday26" / "recipe.toml"


def learn(setup: Setup) -> Iterator[Row]:
    """Pictures per second once it runs; noise where no data is given, which costs the same and teaches nothing."""
    recipe = replace(read_recipe(RECIPE), distill=None, bf16=True)
    steps, epochs = list[float](), list[EpochDone]()
    with TemporaryDirectory() as place:
        data = setup.data or str(_noise(Path(place, "noise"), 2 if setup.tiny else 26, 20 if setup.tiny else 80))
        if setup.tiny:
            small = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2}
            recipe = replace(recipe.lasting(1), image_size=32, arguments=small, batch_size=8)
        run = train(
            recipe,
            load_labelled(data),
            Path(place, "run"),
            device=setup.device,
            workers=0 if setup.tiny else max(1, (os.cpu_count() or 2) - 2),
        )
        for event in run:
            if isinstance(event, StepDone):
                steps.append(perf_counter())
            if isinstance(event, EpochDone):
                epochs.append(event)
            if perf_counter() >= setup.deadline and len(steps) > 20:
                run.close()
                break
    late = steps[len(steps) // 4 :]
    rate = recipe.batch_size * (len(late) - 1) / (late[-1] - late[0])
    told = f"{len(steps)} steps of {recipe.batch_size}, {len(epochs)} epochs, {'data given' if setup.data else 'noise'}"
    yield Row("pictures learned from", rate, "a second", note=told)
    if epochs:
        yield Row("top-1 after the last whole epoch", epochs[-1].top1, "", note=f"loss {epochs[-1].loss:.3f}")


def _noise(folder: Path, classes: int, each: int) -> Path:
    random = np.random.default_rng(0)
    for split, count in (("train", each), ("val", 4)):
        for at in range(classes):
            (place := folder / split / f"class {at:02d}").mkdir(parents=True)
            for number in range(count):
                Image.fromarray(random.integers(0, 256, (160, 160, 3), np.uint8)).save(place / f"{number}.jpg")
    return folder
