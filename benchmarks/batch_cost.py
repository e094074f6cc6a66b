"""What `vitreous batch` costs beside the model, what two workers make of two cores, and how much memory it takes.

    python benchmarks/batch_cost.py memory [--pictures 1000 20000]
    python benchmarks/batch_cost.py workers [--pictures 96]
    python benchmarks/batch_cost.py pipeline [--pictures 32]

Everything runs on one thread a worker. CPU seconds are those of all processes: on a machine that others use too, they
say what the wall clock would say on a quiet one. `workers` and `pipeline` take the difference of a long and a short
run, so that what starting costs is left out.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import timm
import torch
from PIL import Image

import vitreous
from vitreous.batching import shard as room

DISTINCT = 50


def pictures(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """So many JPEGs, some of them distinct."""
    folder.mkdir(exist_ok=True)
    for at in range(count):
        file = folder / f"{at:06}.jpg"
        if at < DISTINCT:
            noise = np.random.default_rng(at).integers(0, 256, (size[1] // 8 + 1, size[0] // 8 + 1, 3), np.uint8)
            Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC).save(file, quality=90)
        else:
            os.link(folder / f"{at % DISTINCT:06}.jpg", file)
    return folder


def model(name: str) -> vitreous.LoadedModel:
    """With random weights."""
    torch.manual_seed(0)
    small = {"img_size": 32, "patch_size": 8, "depth": 2, "embed_dim": 32, "num_heads": 2} if name == "tiny" else {}
    made = timm.create_model("vit_tiny_patch16_224" if name == "tiny" else name, pretrained=False, **small)
    prepare = vitreous.Preprocess((32, 32), (36, 36)) if name == "tiny" else vitreous.Preprocess((224, 224), (256, 256))
    return vitreous.LoadedModel(made.eval().requires_grad_(False), prepare, (), name)


def cpu() -> float:
    """CPU seconds of this process and of its children that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in both)


def memory(counts: list[int]) -> None:
    for count in counts:
        done = subprocess.run(
            [sys.executable, __file__, "once", "--pictures", str(count)], capture_output=True, text=True, check=True
        )
        print(done.stdout.strip())


def once(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place, began = Path(folder), perf_counter()
        many = pictures(place / "many", count, (48, 40))
        start = perf_counter()
        vitreous.batch(many, model("tiny"), output=place / "out", batch_size=32)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            f"{count:,} pictures: {most:,.0f} MiB at most, {perf_counter() - start:.0f} s ({start - began:.0f} to make)"
        )


def workers(count: int) -> None:
    torch.set_num_threads(1)
    subject = model("vit_tiny_patch16_224")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        short, long = (pictures(place / str(n), n, (500, 375)) for n in (count // 4, count))
        costs = {name: [run(subject, each, place) for each in (short, long)] for name, run in RUNS.items()}
    extra = count - count // 4
    for name, (small, large) in costs.items():
        wall, used = (big - little for little, big in zip(small, large, strict=True))
        print(f"{name}: {1000 * wall / extra:.1f} ms a picture by the clock, {1000 * used / extra:.1f} ms of CPU")
    (a, b), (c, d) = costs["plain loop"], costs["two workers"]
    print(f"two workers to twice the loop: {(b[0] - a[0]) / (d[0] - c[0]) / 2:.2f} by the clock, "
          f"{(b[1] - a[1]) / (d[1] - c[1]):.2f} by CPU")  # fmt: skip


def plain_loop(subject: vitreous.LoadedModel, folder: Path, _: Path) -> tuple[float, float]:
    began = perf_counter(), cpu()
    files = sorted(folder.iterdir())
    for at in range(0, len(files), 8):
        vitreous.explain(subject, files[at : at + 8])
    return perf_counter() - began[0], cpu() - began[1]


def two_workers(subject: vitreous.LoadedModel, folder: Path, place: Path) -> tuple[float, float]:
    began = perf_counter(), cpu()
    vitreous.batch(folder, subject, output=place / f"out{folder.name}", workers=2, shard=8)
    return perf_counter() - began[0], cpu() - began[1]


RUNS = {"plain loop": plain_loop, "two workers": two_workers}


def pipeline(count: int) -> None:
    inside = 0.0
    usual = room.explain_images

    def timed(*given: object) -> object:
        nonlocal inside
        began = process_time()
        found = usual(*given)  # type: ignore[arg-type]
        inside += process_time() - began
        return found

    room.explain_images = timed  # type: ignore[assignment]
    torch.set_num_threads(1)
    subject = model("vit_base_patch16_224")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        many = pictures(place / "many", count, (500, 375))
        few = pictures(place / "few", count // 4, (500, 375))
        costs: list[tuple[float, float]] = []
        for name, each in (("warm", few), ("few", few), ("many", many)):
            inside, began = 0.0, process_time()
            vitreous.batch(each, subject, output=place / f"out {name}")
            costs.append((inside, process_time() - began - inside))
    (_, small, large), extra = costs, count - count // 4
    inside, around = (big - little for little, big in zip(small, large, strict=True))
    print(f"model {1000 * inside / extra:.0f} ms of CPU a picture, all around it {1000 * around / extra:.1f}: "
          f"{100 * around / inside:.1f} %")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("memory", "workers", "pipeline", "once"))
    parser.add_argument("--pictures", type=int, nargs="+")
    options = parser.parse_args()
    if options.what == "memory":
        memory(options.pictures or [1000, 20000])
    else:
        default = {"workers": 96, "pipeline": 32, "once": 1000}[options.what]
        {"workers": workers, "pipeline": pipeline, "once": once}[options.what]((options.pictures or [default])[0])


if __name__ == "__main__":
    main()
