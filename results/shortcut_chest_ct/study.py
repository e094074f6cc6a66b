"""Does a heat map reveal a shortcut? A chest CT classifier, what moves its decision, and where its heat maps lie.

    python study.py DATA MODEL OUTPUT

DATA is what prepare.py made, MODEL what `vitreous train` left; needs scikit-image and torchmetrics. Writes to OUTPUT:
controls.csv (classifiers that know one brightness only), effects.csv (the decision when one thing is changed: the
ground truth) and heat.csv (where the heat lies, and whether it moves when the decision does).
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage.filters import threshold_otsu

from vitreous import explain, load
from vitreous.data.archives import ArraySplit
from vitreous.data.labelled import load_split
from vitreous.errors import DegenerateMap
from vitreous.evaluation.evaluate import answers
from vitreous.metrics.classification import judge_classifier
from vitreous.metrics.localization import EnergyPointing

METHODS = (
    *("ag_cam", "rollout", "raw_attention", "transformer_attribution", "generic_attention", "grad_cam", "legrad"),
    *("attn_lrp", "libra_grad", "input_x_gradient", "occlusion", "random", "center_gaussian"),
)
CANCER, NORMAL = 0, 1
CANCERS = 20  # of the test slices whose heat maps are looked at
Array = np.ndarray[Any, Any]
REGIONS = ("outside", "lungs", "tissue")


def main(data: Path, model: Path, output: Path) -> None:
    """Make the three tables."""
    loaded = load(model)
    train, val, test = (pixels(data, split) for split in ("train", "val", "test"))
    write(output / "controls.csv", controls(train, test))
    means = [float(train.images[train.label == kind].mean()) for kind in (CANCER, NORMAL)]
    write(output / "effects.csv", effects(loaded, {"test": test, "val": val}, changes(means)))
    write(output / "heat.csv", heat(loaded, {"test": test, "val": val}, changes(means)))


def pixels(data: Path, split: str) -> ArraySplit:
    """A split, gray, in memory."""
    pictures, _ = load_split(data, split)
    found = [pictures[at] for at in range(len(pictures))]
    gray = np.stack([np.asarray(picture.convert("L")) for picture, _ in found])
    return ArraySplit(gray, np.array([label for _, label in found]), pictures.class_names)


def regions(gray: Array) -> dict[str, Array]:
    """Outside the body, the lungs and the rest: the body is the largest bright part, the lungs its dark holes."""
    threshold = threshold_otsu(gray)
    parts, _ = ndimage.label(ndimage.binary_opening(gray > threshold))
    largest = np.pad(parts == np.bincount(parts[parts > 0]).argmax(), 8)
    body = ndimage.binary_fill_holes(ndimage.binary_closing(largest, iterations=4)[8:-8, 8:-8])
    lungs = ndimage.binary_opening(body & (gray <= threshold), iterations=2)
    return {"outside": ~body, "lungs": lungs, "tissue": body & ~lungs}


def pen_mark(gray: Array) -> Array:
    """Where a pen mark is drawn: a line in the upper left corner, as in some of the normal slices."""
    page = Image.new("1", gray.shape[::-1])
    ImageDraw.Draw(page).line([(6, 4), (14, 18), (22, 40)], 1, 2)
    return np.array(page)


def changes(means: list[float]) -> dict[str, Callable[[Array, int], Array]]:
    """What is done to a slice of a class; `means` is the mean brightness of the training slices of each class."""

    def scaled(gray: Array, mean: float) -> Array:
        return np.clip(gray * (mean / gray.mean()), 0, 255).astype(np.uint8)

    def filled(gray: Array, region: str, value: float | None = None) -> Array:
        where = regions(gray)[region]
        return np.where(where, np.median(gray[where]) if value is None else value, gray).astype(np.uint8)

    return {
        "nothing": lambda gray, _: gray,
        "brightness of the other class": lambda gray, kind: scaled(gray, means[1 - kind]),
        "one brightness for all": lambda gray, _: scaled(gray, sum(means) / 2),
        "outside blackened": lambda gray, _: filled(gray, "outside", 0),
        "lungs flattened": lambda gray, _: filled(gray, "lungs"),
        "tissue flattened": lambda gray, _: filled(gray, "tissue"),
        "pen mark drawn": lambda gray, _: np.where(pen_mark(gray), 255, gray).astype(np.uint8),
    }


def controls(train: ArraySplit, test: ArraySplit) -> Iterator[dict[str, Any]]:
    """Classifiers that know one mean brightness; the threshold is the one of best balanced accuracy in training."""
    for name in ("picture", *REGIONS):
        known, asked = (np.array([brightness(gray, name) for gray in part.images]) for part in (train, test))
        normal = train.label == NORMAL
        threshold = max(known, key=lambda at: (known[normal] > at).mean() + (known[~normal] <= at).mean())
        logits = torch.tensor(np.stack([np.zeros(len(asked)), asked - threshold], 1))
        yield {"control": f"brightness of the {name}", "threshold": round(float(threshold), 1), **scores(logits, test)}


def brightness(gray: Array, name: str) -> float:
    """The mean of a region, or of the whole picture."""
    where = regions(gray).get(name, np.ones_like(gray, bool))
    return float(gray[where].mean()) if where.any() else 0.0


def effects(model: Any, parts: Mapping[str, ArraySplit], done: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The decision after each change."""
    for split, part in parts.items():
        before = answers(model, part).logits
        for name, change in done.items():
            after = answers(model, changed(part, change)).logits
            flipped = (before.argmax(1) != after.argmax(1)).numpy()
            moved = (after - before).diff(dim=1).abs().mean()
            shares = {f"flipped_{each}": flipped[part.label == at].mean() for at, each in enumerate(part.class_names)}
            yield {"split": split, "change": name, **scores(after, part), **shares, "margin_moved": float(moved)}


def changed(part: ArraySplit, change: Callable[[Array, int], Array]) -> ArraySplit:
    """Every slice after a change."""
    images = np.stack([change(gray, int(kind)) for gray, kind in zip(part.images, part.label, strict=True)])
    return ArraySplit(images, part.label, part.class_names)


def scores(logits: torch.Tensor, part: ArraySplit) -> dict[str, str]:
    """With normal as the positive class; recall and specificity do not depend on how many there are of each."""
    found = judge_classifier(logits, torch.tensor(part.label))
    specificity = (logits.argmax(1).numpy() == part.label)[part.label == CANCER].mean()
    named = {
        name: f"{found[name].value:.3f} [{found[name].low:.3f}, {found[name].high:.3f}]" for name in ("auc", "recall")
    }
    return {"auc": named["auc"], "recall_normal": named["recall"], "recall_cancer": f"{specificity:.3f}"}


def heat(model: Any, parts: Mapping[str, ArraySplit], done: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Per method and class: shares of the heat over shares of the area, 1 for a map that knows nothing."""
    cancers = np.random.default_rng(0).permutation(np.flatnonzero(parts["test"].label == CANCER))[:CANCERS]
    chosen = {
        "cancer": parts["test"].images[cancers],
        "normal": np.concatenate([part.images[part.label == NORMAL] for part in parts.values()]),
    }
    exchange, mark = done["brightness of the other class"], done["pen mark drawn"]
    flips: dict[str, Array] = {}
    for kind, (name, images) in enumerate(chosen.items()):
        whole = ArraySplit(images, np.full(len(images), kind), parts["test"].class_names)
        both = [answers(model, each).logits.argmax(1) for each in (whole, changed(whole, exchange))]
        flips[name] = (both[0] != both[1]).numpy()
    for method in METHODS:
        for kind, (name, images) in enumerate(chosen.items()):
            shown = (images, [exchange(gray, kind) for gray in images], [mark(gray, kind) for gray in images])
            first, second, third = (maps(model, method, each) for each in shown)
            where = {region: np.stack([regions(gray)[region] for gray in images]) for region in REGIONS}
            found = {region: concentration(first, its) for region, its in where.items()}
            found["pen mark"] = concentration(third, np.stack([pen_mark(gray) for gray in images]))
            after = zip(first, second, flips[name], strict=True)
            likeness = [alike(one, other) for one, other, flipped in after if flipped and one is not None]
            found["like after the flip"] = np.array([each for each in likeness if np.isfinite(each)])
            numbers = {column: interval(values) for column, values in found.items()}
            made = sum(each is not None for each in first)
            yield {"method": method, "class": name, "pictures": len(images), "maps": made, **numbers}


def maps(model: Any, method: str, images: Iterable[Array]) -> list[torch.Tensor | None]:
    """Heat maps of the classes predicted; None where a method has a constant one."""
    pictures = [Image.fromarray(gray).convert("RGB") for gray in images]
    try:
        return list(explain(model, pictures, method).heatmap)
    except DegenerateMap:
        return [None] if len(pictures) == 1 else [maps(model, method, [gray])[0] for gray in images]


def concentration(heatmaps: list[torch.Tensor | None], where: Array) -> Array:
    """Per slice with a map and the region: the region's share of the heat over its share of the area."""
    both = [(one, its) for one, its in zip(heatmaps, where, strict=True) if one is not None and its.any()]
    energies = [EnergyPointing()(one[None], torch.from_numpy(its)[None])["energy"] for one, its in both]
    return np.array([float(energy) / its.mean() for energy, (_, its) in zip(energies, both, strict=True)])


def alike(one: torch.Tensor, other: torch.Tensor | None) -> float:
    """The correlation of two maps."""
    return np.nan if other is None else float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


def interval(values: Array) -> str:
    """The mean and its 95 % bootstrap interval over slices."""
    if not len(values):
        return "–"
    drawn = np.random.default_rng(0).choice(values, (1000, len(values))).mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{values.mean():.2f} [{low:.2f}, {high:.2f}]"


def write(path: Path, rows: Iterator[dict[str, Any]]) -> None:
    """Write a table, and print it."""
    listed = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, listed[0])
        writer.writeheader()
        writer.writerows({k: f"{v:.3f}" if isinstance(v, float) else v for k, v in row.items()} for row in listed)
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
