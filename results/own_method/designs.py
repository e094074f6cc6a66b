"""ABPC of the patch posterior by design and number of masks, on `everyday26`: `python designs.py DATA HALF COUNT TABLE`.

DATA is everyday26.npz; its validation photographs are drawn at random, HALF (even, odd) of them are taken, of these the
first COUNT. TABLE has a row for each photograph, design, number of masks and seed; one that is there goes on.
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor

from vitreous import load
from vitreous.data.labelled import load_split
from vitreous.explaining.method_settings import complete_method
from vitreous.methods import make_method, patch_posterior
from vitreous.methods.explanation import Explanation
from vitreous.methods.patch_posterior import draw_blobs
from vitreous.metrics.perturbation import Perturbation

RUNS = {("random", 256): 3, ("random", 128): 3, ("variance", 64): 1, ("variance", 96): 2, ("variance", 128): 3}
"""By design and number of masks, how many seeds."""

data, half, count, table = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
loaded, (pictures, _) = load("everyday26"), load_split(data, "val")
prepare = loaded.prepared()
abpc = Perturbation(mean=prepare.mean, std=prepare.std)
drawn = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(21)).tolist()
chosen = drawn[("even", "odd").index(half) :: 2][:count]


def choose_blobs(count: int, grid: tuple[int, int], seed: int, reach: float = 3.0) -> Tensor:
    """Of 1024 random blobs, those that leave the smallest sum of the variances of w: (count, h, w).

    One after another, each with its complement; patches are alike by place alone and the noise is as loud as the
    signal. No variance depends on scores, so every picture has the same masks.
    """
    pool = draw_blobs(1024, grid, seed)
    shown = (~pool).flatten(1).double()
    effects = torch.cat([torch.ones_like(shown[:, :1]), shown.mean(1, keepdim=True), shown], 1)  # a, c and w
    places = torch.cartesian_prod(*(torch.arange(size).double() for size in grid))
    near = (-(places[:, None] - places).square().sum(2) / (2 * reach**2)).exp()
    noise = (shown @ near * shown).sum(1).mean()
    told = effects @ torch.block_diag(1e3 * noise * torch.eye(2).double(), near)  # how scores go with a, c and w
    variance, taken = (told * effects).sum(1), list[int]()
    while len(taken) < count:
        less = told[:, 2:].square().sum(1) / (variance + noise)
        less[taken] = -1
        best = int(less.argmax())
        for each in (best, (best + len(pool) // 2) % len(pool)):
            one, along = told[each].clone(), effects @ told[each]
            scale = variance[each] + noise
            told -= along[:, None] * one / scale
            variance -= along**2 / scale
            taken.append(each)
    return pool[taken[:count]]


DESIGNS = {"random": draw_blobs, "variance": choose_blobs}


def explained(design: str, masks: int, seed: int, image: Tensor) -> Explanation:
    """The method's own map, with the masks of a design."""
    method = complete_method(make_method("patch_posterior", masks=masks, seed=seed), loaded)
    patch_posterior.draw_blobs = DESIGNS[design]
    try:
        return method(loaded.model, image)
    finally:
        patch_posterior.draw_blobs = draw_blobs


def measure(at: int) -> list[dict[str, object]]:
    """The rows of a photograph; the class that the model predicts is explained."""
    image = prepare(pictures[at][0])[None]
    rows = [(design, masks, seed) for (design, masks), seeds in RUNS.items() for seed in range(seeds)]
    found = [explained(*row, image) for row in rows]
    maps = torch.cat([each.heatmap for each in found])
    target = torch.cat([each.target for each in found if each.target is not None])
    curves = abpc(loaded.model, image.expand(len(maps), -1, -1, -1), maps, target)
    areas = (curves["lerf"] - curves["morf"]).mean(1).tolist()
    return [
        {"photograph": at, "design": design, "masks": masks, "seed": seed, "abpc": round(area, 5)}
        for (design, masks, seed), area in zip(rows, areas, strict=True)
    ]


def read() -> list[dict[str, str]]:
    """The rows that are there."""
    if not table.exists():
        return []
    with table.open(newline="") as file:
        return list(csv.DictReader(file))


for at in chosen:
    known = read()
    if str(at) in {row["photograph"] for row in known}:
        continue
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, ["photograph", "design", "masks", "seed", "abpc"], lineterminator="\n")
        if not known:
            writer.writeheader()
        writer.writerows(measure(at))

by_seed: dict[tuple[str, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
for row in read():
    by_seed[row["design"], int(row["masks"])][row["photograph"]].append(float(row["abpc"]))
means = {run: torch.tensor([sum(each) / len(each) for each in found.values()]) for run, found in by_seed.items()}
usual = means["random", 256]
draws = torch.randint(len(usual), (10_000, len(usual)), generator=torch.Generator().manual_seed(0))
for (design, masks), values in means.items():
    apart = values - usual
    low, high = apart[draws].mean(1).quantile(torch.tensor([0.025, 0.975])).tolist()
    print(f"{design} {masks}: {values.mean():.3f}, less random 256 {apart.mean():+.3f} [{low:+.3f}, {high:+.3f}]")
