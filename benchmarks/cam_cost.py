"""Grad-CAM and Score-CAM next to pytorch-grad-cam's, in one process, on one Vision Transformer and the same images.

    pip install grad-cam
    python benchmarks/cam_cost.py [--architecture vit_base_patch16_224] [--batch 4] [--pairs 7] [--device cpu]

Runs the two sides in turn and prints the median of the paired ratios, and how far the maps are apart.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import timm
import torch
from torch import Tensor, nn

from vitreous.methods.grad_cam import GradCAM
from vitreous.methods.score_cam import ScoreCAM

try:
    import pytorch_grad_cam as peer
except ImportError:
    raise SystemExit("The other side is missing. Run: pip install grad-cam") from None


def seconds(call: Callable[[], Tensor]) -> tuple[float, Tensor]:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = perf_counter()
    result = call().cpu()  # on the CPU like the peer's
    return perf_counter() - start, result


def scaled(heatmap: Tensor, size: int) -> Tensor:
    """As the peer draws it: from 0 to 1, enlarged, from 0 to 1 again."""
    for enlarge in (True, False):
        low, high = heatmap.amin((1, 2), keepdim=True), heatmap.amax((1, 2), keepdim=True)
        heatmap = (heatmap - low) / (high - low)
        if enlarge:
            heatmap = nn.functional.interpolate(heatmap[None], size=(size, size), mode="bilinear")[0]
    return heatmap


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", default="vit_base_patch16_224")
    parser.add_argument("--arguments", type=json.loads, default={}, help="of the architecture, as JSON")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--methods", nargs="+", choices=("grad_cam", "score_cam"), default=("grad_cam", "score_cam"))
    options = parser.parse_args()

    torch.manual_seed(0)
    model = timm.create_model(options.architecture, num_classes=10, **options.arguments).eval().to(options.device)
    nn.init.normal_(model.head.weight, std=0.5)
    size = model.patch_embed.img_size[0]
    # smooth images: pure noise gives maps without a shape
    coarse = torch.randn(options.batch, 3, 14, 14)
    images = nn.functional.interpolate(coarse, size=(size, size), mode="bilinear").to(options.device)
    prefix, side = model.num_prefix_tokens, model.patch_embed.grid_size

    def reshape(tokens: Tensor) -> Tensor:
        return tokens[:, prefix:].mT.unflatten(-1, side)

    def theirs(kind: Any) -> Tensor:
        # it draws a progress bar for every image
        with (
            contextlib.redirect_stderr(io.StringIO()),
            kind(model=model, target_layers=[model.blocks[-1].norm1], reshape_transform=reshape) as method,
        ):
            return torch.from_numpy(method(input_tensor=images, targets=None))

    sides: dict[str, tuple[Callable[[], Tensor], Callable[[], Tensor]]] = {
        "grad_cam": (lambda: GradCAM()(model, images).heatmap, lambda: theirs(peer.GradCAM)),
        "score_cam": (lambda: ScoreCAM(align_corners=True)(model, images).heatmap, lambda: theirs(peer.ScoreCAM)),
    }
    print(f"{options.architecture}, batch {options.batch}, {options.device}, torch {torch.__version__}")
    for name in options.methods:
        ours, others = sides[name]
        rows = [(*seconds(ours), *seconds(others)) for _ in range(options.pairs)]
        apart = (scaled(rows[0][1], size) - rows[0][3]).abs().max().item()
        print(
            f"{name:10} ours {median(row[0] for row in rows):8.3f} s, peer {median(row[2] for row in rows):8.3f} s, "
            f"{median(row[2] / row[0] for row in rows):.2f} x faster, maps apart {apart:.1e}"
        )


if __name__ == "__main__":
    main()
