"""What strength, uncertainty and certainty of a batch cost next to the model's unfused forward pass, in one process.

    python benchmarks/indicator_cost.py [--architecture vit_tiny_patch16_224] [--batch 8] [--pairs 15] [--device cpu]

Runs the forward pass with torch's fused attention, the same with attention written out by timm, the indicators, and a
model without half of its patches (`vitreous.prune`) in turn, and prints the medians and those of the paired ratios.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median
from time import perf_counter

import timm
import torch

from vitreous import prune
from vitreous.interact.indicator import interactions


def seconds(call: Callable[[], object]) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = perf_counter()
    call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--architecture", default="vit_tiny_patch16_224")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()

    torch.manual_seed(0)
    model = timm.create_model(options.architecture).eval().to(options.device)
    images = torch.randn(options.batch, 3, *model.pretrained_cfg["input_size"][1:], device=options.device)
    pruned = prune(model, 0.5)

    def forward(*, fused: bool) -> None:
        for block in model.blocks:
            block.attn.fused_attn = fused
        with torch.no_grad():
            model(images)

    def indicators() -> None:
        interactions(model, images).certainty  # noqa: B018  strength and uncertainty on the way

    def half() -> None:
        with torch.no_grad():
            pruned(images)

    calls: dict[str, Callable[[], None]] = {
        "unfused": lambda: forward(fused=False),
        "fused": lambda: forward(fused=True),
        "indicators": indicators,
        "pruned": half,
    }
    for call in calls.values():
        call()
    rows = [{name: seconds(call) for name, call in calls.items()} for _ in range(options.pairs)]
    print(
        f"{options.architecture}, batch {options.batch}, {options.device}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads"
    )
    for name in calls:
        times, unfused, fused = (
            median(each)
            for each in zip(*((r[name], r[name] / r["unfused"], r[name] / r["fused"]) for r in rows), strict=True)
        )
        print(f"{name:10} {times:7.3f} s  {unfused:.2f} x unfused  {fused:.2f} x fused")


if __name__ == "__main__":
    main()
