"""How well SALG's regions keep to objects before any training: the share of pixels of their region's majority object.

    python benchmarks/region_purity.py coco256 [--pictures 100] [--side 224] [--window 7]

Pixels are those of a stage's map; their object is that of the instance mask there, or none. Compared are plain windows,
regions by color, by the features of an untrained SALG-ST, and by both side by side, each of unit norm on average.
"""

from __future__ import annotations

import argparse
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

import vitreous.backbones
from vitreous.models.salg.regions import segment

MARGINS = (1, 2, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="with annotations.json, images.zip and instances.zip")
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--window", type=int, default=7)
    options = parser.parse_args()

    torch.manual_seed(0)
    model = timm.create_model("salg_st", window_size=options.window).eval()
    assert isinstance(model, vitreous.backbones.SALG)
    shares: dict[tuple[int, str], list[float]] = {}
    for picture, objects in masked(options.folder, options.pictures):
        image = torch.from_numpy(np.array(picture.resize((options.side, options.side)))).permute(2, 0, 1) / 255
        with torch.no_grad():
            stages = [
                features for features, regions in model.forward_stages(2 * image[None] - 1) if regions is not None
            ]
        inputs = [model.patch_embed(2 * image[None] - 1), *(model.merges[at](stages[at]) for at in (0, 1))]
        for at, (features, margin) in enumerate(zip(inputs, MARGINS, strict=True)):
            size = features.shape[1:3]
            color = F.adaptive_avg_pool2d(image[None], size).permute(0, 2, 3, 1)
            truth = torch.from_numpy(np.array(objects.resize(size[::-1], Image.Resampling.NEAREST))).long()
            with torch.no_grad():
                both = torch.cat([even(color), even(features)], -1)
                regions = {
                    "windows": segment(features, options.window, 0),
                    "color": segment(color, options.window, margin),
                    "features": segment(features, options.window, margin),
                    "both": segment(both, options.window, margin),
                }
            for name, found in regions.items():
                shares.setdefault((at + 1, name), []).append(purity(found[0], truth))
    print("| stage | regions by | share of pixels in their region's majority object, % | ± standard error |")
    print("|---|---|---|---|")
    for (stage, name), values in sorted(shares.items()):
        mean, error = np.mean(values), np.std(values, ddof=1) / len(values) ** 0.5
        print(f"| {stage} | {name} | {100 * mean:.2f} | {100 * error:.2f} |")


def masked(folder: Path, count: int) -> list[tuple[Image.Image, Image.Image]]:
    """Pictures and their instance numbers."""
    about = [each for each in json.loads((folder / "annotations.json").read_text())["images"] if each.get("mask")]
    with zipfile.ZipFile(folder / "images.zip") as images, zipfile.ZipFile(folder / "instances.zip") as masks:
        names = {Path(name).name: name for name in masks.namelist()}
        return [
            (
                Image.open(io.BytesIO(images.read(each["file"].removeprefix("images.zip/")))).convert("RGB"),
                Image.open(io.BytesIO(masks.read(names[Path(each["mask"]).name]))),
            )
            for each in about[:count]
        ]


def even(features: Tensor) -> Tensor:
    """Of unit norm on average."""
    return features / features.norm(dim=-1).mean()


def purity(regions: Tensor, truth: Tensor) -> float:
    """The share of pixels whose object is the most frequent of their region."""
    pairs = torch.stack([regions.flatten(), truth.flatten()], 1)
    found, counts = pairs.unique(dim=0, return_counts=True)
    return sum(int(counts[found[:, 0] == region].max()) for region in found[:, 0].unique()) / len(pairs)


if __name__ == "__main__":
    main()
