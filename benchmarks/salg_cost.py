"""What SALG costs per multiply-add next to Swin, in one process: forward pass and training step.

    python benchmarks/salg_cost.py [--name salg_t] [--batch 8] [--pairs 5]

Multiply-adds of Swin are counted by torch, attention included; those of SALG are what it takes where each region pays
for its whole coverage area, so that a form which skips the rest gets the credit. What it does execute is printed too.
Prints medians, and the median of the paired ratios.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vitreous.models.registry import registry

SWIN = "swin_tiny_patch4_window7_224"
WHOLE_AREAS = {"salg_st": 1.342e9, "salg_t": 6.436e9, "salg_s": 10.931e9}
"""Multiply-adds of a picture of 224 pixels."""


def multiply_adds(model: nn.Module, images: Tensor) -> float:
    """Of one image; the written-out kernel lets torch count attention too."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        model(images[:1])
    return counter.get_total_flops() / 2


def seconds(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", choices=WHOLE_AREAS, default="salg_t")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    images = torch.randn(options.batch, 3, 224, 224)
    models = [registry().create_model(name) for name in (options.name, SWIN)]
    executed, swins = (multiply_adds(model.eval(), images) for model in models)
    work = [WHOLE_AREAS[options.name], swins]
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, batch {options.batch}")
    print(f"{options.name} executes {executed / 1e9:.3f} GMAC per image, and is charged {work[0] / 1e9:.3f}")

    def forward(model: nn.Module) -> None:
        with torch.no_grad():
            model.eval()(images)

    def training_step(model: nn.Module) -> None:
        model.train()(images).square().mean().backward()

    for step in (forward, training_step):
        for model in models:
            step(model)
        rows = [[seconds(lambda model=model, step=step: step(model)) for model in models] for _ in range(options.pairs)]
        ours, swin = (median(column) for column in zip(*rows, strict=True))
        ratio = median((row[0] / work[0]) / (row[1] / work[1]) for row in rows)
        print(
            f"{step.__name__:13}  {options.name} {ours:6.3f} s ({work[0] / 1e9:.3f} GMAC per image)   "
            f"swin {swin:6.3f} s ({work[1] / 1e9:.3f} GMAC)   per multiply-add {ratio:.3f} x swin"
        )


if __name__ == "__main__":
    main()
