"""What explaining photographs costs beside the methods' own passes, in CPU seconds a picture.

    python -m benchmarks.explain_cost [--model default] [--methods ag_cam,rollout] [--pictures FOLDER] [--batch 8]

Four sides, of which the second is one: a bare forward pass; the methods' functions on prepared tensors, those that
read the same on one observed pass; `vitreous.explain` of files; and the command `vitreous explain`, which draws and
writes a sheet for each, at the margin: the difference of a long and a short run, so that starting is left out. And how
often the model runs, of a batch, with every method alone and with all in one call.

CPU seconds are those of all threads: on a machine that others use too, they say what the clock would say on a quiet
one. Run it on one thread: OMP_NUM_THREADS=1. Without --pictures: the six samples that come along, over and over.
"""

from __future__ import annotations

import argparse
import inspect
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time

import torch
from torch import nn

import vitreous
from vitreous.data.finding import find_pictures
from vitreous.data.gallery import GALLERY
from vitreous.data.pictures import open_picture
from vitreous.methods import make_method
from vitreous.methods.method import Method
from vitreous.methods.shared import explain_each
from vitreous.models.loaded import LoadedModel
from vitreous.trace.target import Predicted

USUAL = "ag_cam,transformer_attribution,attn_lrp,grad_cam,rollout"


def photographs(folder: Path, given: str, count: int) -> list[Path]:
    """So many files, those that there are over and over."""
    there = find_pictures([given]) if given else list(GALLERY.values())
    chosen = [(there[at % len(there)], folder / f"{at:04}{there[at % len(there)].suffix}") for at in range(count)]
    for source, file in chosen:
        shutil.copyfile(source, file)
    return [file for _, file in chosen]


def in_turn(sides: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median CPU seconds of each, run in turn, after one that warms up."""
    rows: list[list[float]] = []
    for _ in range(repeats + 1):
        rows.append([])
        for side in sides.values():
            start = process_time()
            side()
            rows[-1].append(process_time() - start)
    return dict(zip(sides, map(median, zip(*rows[1:], strict=True)), strict=True))


def in_process(
    model: LoadedModel, methods: Mapping[str, Method], files: Sequence[Path], repeats: int
) -> dict[str, float]:
    """CPU seconds a picture of the first three sides."""
    prepare = model.prepared()
    images = torch.stack([prepare(open_picture(file)) for file in files]).to(next(model.model.parameters()))

    def forward() -> None:
        with torch.no_grad():
            model.model(images)

    sides: dict[str, Callable[[], object]] = {
        "forward": forward,
        "methods": lambda: explain_each(methods, model.model, images, Predicted()),
        "explain": lambda: vitreous.explain(model, files, methods, batch_size=len(files)),
    }
    return {name: seconds / len(files) for name, seconds in in_turn(sides, repeats).items()}


def command(spec: str, checkpoint: str, methods: str, files: Sequence[Path], batch: int) -> float:
    """CPU seconds a picture of the command, what starting costs left out."""
    with tempfile.TemporaryDirectory() as folder:
        few = max(1, len(files) // 4)
        call = [sys.executable, "-m", "vitreous", "explain", "--model", spec, "--method", methods]
        call += ["--batch-size", str(batch), *(["--checkpoint", checkpoint] if checkpoint else [])]

        def run(part: Sequence[Path], name: str) -> float:
            start = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([*call, "--output", f"{folder}/{name}", *map(str, part)], check=True, capture_output=True)
            end = resource.getrusage(resource.RUSAGE_CHILDREN)
            return end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime

        return (run(files, "many") - run(files[:few], "few")) / (len(files) - few)


def passes(model: nn.Module, work: Callable[[], object]) -> int:
    """How often the model runs to its end."""
    ended: list[int] = []
    with model.register_forward_hook(lambda *_: ended.append(1)):
        work()
    return len(ended)


def all_passes(model: LoadedModel, methods: Mapping[str, Method], images: torch.Tensor) -> dict[str, int]:
    """Of every method alone, and of all in one call."""
    calls = {name: {name: method} for name, method in methods.items()} | {"all in one call": methods}
    explain = partial(vitreous.explain, model, images)
    return {name: passes(model.model, partial(explain, some)) for name, some in calls.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=inspect.cleandoc(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--checkpoint", default="", help="the file of its weights")
    parser.add_argument("--methods", default=USUAL)
    parser.add_argument("--pictures", default="")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--count", type=int, default=32, help="pictures of the command's longer run; 0 leaves it out")
    options = parser.parse_args()

    model = vitreous.load(options.model, checkpoint=options.checkpoint or None)
    names = [name.strip() for name in options.methods.split(",")]
    methods = {name: make_method(name) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        files = photographs(Path(folder), options.pictures, max(options.batch, options.count))
        costs = in_process(model, methods, files[: options.batch], options.repeats)
        if options.count:
            given = command(options.model, options.checkpoint, ",".join(names), files[: options.count], options.batch)
            costs["command"] = given
    print(f"{model.name}, batch {options.batch}, {torch.get_num_threads()} threads of {os.cpu_count()}, "
          f"torch {torch.__version__}")  # fmt: skip
    print("| side | ms of CPU a picture | x the methods' own passes |\n|---|--:|--:|")
    for name, seconds in costs.items():
        print(f"| {name} | {1e3 * seconds:.1f} | {seconds / costs['methods']:.2f} |")
    images = torch.randn(options.batch, 3, *model.prepared().size, generator=torch.Generator().manual_seed(0))
    print("\n| method | forward passes of a batch |\n|---|--:|")
    for name, count in all_passes(model, methods, images).items():
        print(f"| {name} | {count} |")


if __name__ == "__main__":
    main()
