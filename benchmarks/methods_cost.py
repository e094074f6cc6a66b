"""What every method costs per picture, next to a forward pass of the same batch, in one process.

    python benchmarks/methods_cost.py --model default [--pictures FOLDER] [--count 50] [--output results/cost.csv]

Each method explains as many of the pictures as fit into --budget seconds: a batch at least, or a picture at least where
it makes hundreds of forward passes for one. A forward pass of a batch is timed before and after. Prints a table and
writes it as CSV, method by method; a method that refuses the model is listed with its reason. Without --pictures:
random pictures, which cost the same.
"""

from __future__ import annotations

import argparse
import csv
import inspect
import platform
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from torch import Tensor

import vitreous
from vitreous import ExplainError
from vitreous.data.finding import find_pictures
from vitreous.data.pictures import open_picture
from vitreous.errors import DegenerateMap
from vitreous.models.loaded import LoadedModel

COLUMNS = ["method", "pictures", "ms_per_picture", "forwards", "batches_with_a_constant_map", "refused"]


def load_images(model: LoadedModel, pictures: str, count: int) -> Tensor:
    if model.preprocess is None:
        raise SystemExit(f"{model.name} does not say how its pictures are prepared.")
    if not pictures:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(count, 3, *model.preprocess.size, generator=generator)
    files = find_pictures([pictures])[:count]
    return torch.stack([model.preprocess(open_picture(file)) for file in files])


def timed_forward(model: LoadedModel, images: Tensor) -> float:
    """Seconds per picture."""
    start = perf_counter()
    with torch.no_grad():
        model.model(images)
    return (perf_counter() - start) / len(images)


def cost(model: LoadedModel, method: str, images: Tensor, batch: int, budget: float) -> dict[str, object]:
    """Median over batches of the explanation's seconds per picture, alone and over the forward pass's."""
    rows: list[tuple[float, float]] = []
    used, degenerate = 0.0, 0
    at_once = 1 if getattr(vitreous.METHODS[method], "slow", False) else batch
    for part in images.split(at_once):
        if rows and used + used / len(rows) > budget:
            break
        before = timed_forward(model, images[:batch])
        start = perf_counter()
        try:
            vitreous.explain(model, part, method, batch_size=batch)
        except DegenerateMap:  # after the work is done: it costs the same
            degenerate += 1
        except ExplainError as error:
            return {"method": method, "refused": str(error)}
        seconds = perf_counter() - start
        each = seconds / len(part)
        rows.append((each, 2 * each / (before + timed_forward(model, images[:batch]))))
        used += seconds
    return {
        "method": method,
        "pictures": min(len(images), at_once * len(rows)),
        "ms_per_picture": round(1e3 * median(row[0] for row in rows), 2),
        "forwards": round(median(row[1] for row in rows), 2),
        "batches_with_a_constant_map": degenerate,
        "refused": "",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=inspect.cleandoc(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="default")
    parser.add_argument("--pictures", default="")
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--budget", type=float, default=20.0)
    parser.add_argument("--methods", default=",".join(vitreous.METHODS))
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    model = vitreous.load(options.model)
    images = load_images(model, options.pictures, options.count)
    timed_forward(model, images[: options.batch])
    print(
        f"{options.model}, {len(images)} pictures of {tuple(images.shape[1:])}, batch {options.batch}, "
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.processor() or platform.machine()}"
    )
    with ExitStack() as stack:
        writer = None
        if options.output:
            file = stack.enter_context(options.output.open("w", encoding="utf-8", newline="", buffering=1))
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
        for method in options.methods.split(","):
            row = cost(model, method, images, options.batch, options.budget)
            figures = "{ms_per_picture:>10} ms  {forwards:>9} x forward  ({pictures})"
            print(f"{method:24}{row['refused'] or figures.format_map(row)}", flush=True)
            if writer:
                writer.writerow(row)


if __name__ == "__main__":
    main()
