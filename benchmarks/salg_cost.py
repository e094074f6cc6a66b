"""What SALG costs next to Swin of the same width and depth: parameters, multiply-adds, and seconds per multiply-add.

    python benchmarks/salg_cost.py [--name salg_t] [--batch 8] [--pairs 5]

First a table of all sizes, for a picture of 224 pixels (noise). Multiply-adds are counted by torch, attention included,
in what is executed; how much that is of SALG depends on how its regions fall, so it is also charged as if each region
paid for its whole coverage area. Then forward pass and training step of one size beside Swin, in one process, in turn:
medians, and the median of the paired ratios, with SALG charged, so that a form which skips the rest gets the credit.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vitreous.models.registry import registry

SWIN = "swin_tiny_patch4_window7_224"
WHOLE_AREAS = {"salg_st": 1.342e9, "salg_t": 6.436e9, "salg_s": 10.931e9}
"""Multiply-adds of a picture of 224 pixels."""
SWINS: dict[str, tuple[str, dict[str, Any]]] = {
    "salg_st": (SWIN, {"embed_dim": 48, "depths": (2, 2, 2, 2), "num_heads": (2, 3, 6, 12)}),
    "salg_t": (SWIN, {}),
    "salg_s": ("swin_small_patch4_window7_224", {}),
}
"""By SALG, the Swin of its width and depth."""
FORMS: dict[str, dict[str, Any]] = {
    "AP": {},
    "MSA": {"propagation": "msa"},
    "AP, linear merge": {"merge": "linear"},
    "MSA, linear merge": {"propagation": "msa", "merge": "linear"},
    "AP, tokens carried": {"agr_carry": True},
}
PUBLISHED = {
    ("salg_st", "AP"): 6.5,
    ("salg_st", "MSA"): 7.1,
    ("salg_t", "AP"): 32.2,
    ("salg_t", "MSA"): 42.4,
    ("salg_s", "AP"): 53.0,
}
"""Millions of parameters, as the paper prints them; of multiply-adds it prints none."""


def multiply_adds(model: nn.Module, images: Tensor) -> float:
    """Of one image; the written-out kernel lets torch count attention too."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        model(images[:1])
    return counter.get_total_flops() / 2


def parameters(model: nn.Module) -> float:
    """Millions."""
    return sum(each.numel() for each in model.parameters()) / 1e6


def compare(image: Tensor) -> None:
    """Print the table."""
    print("| model | M parameters | published | GMAC | of Swin's |\n|---|---|---|---|---|")
    for name, (swin, size) in SWINS.items():
        models = {"Swin": registry().create_model(swin, **size)}
        models |= {form: registry().create_model(name, **given) for form, given in FORMS.items()}
        works = {form: multiply_adds(model.eval(), image) for form, model in models.items()}
        for form, model in models.items():
            said = PUBLISHED.get((name, form))
            more = "" if form == "Swin" else f"{works[form] / works['Swin'] - 1:+.0%}"
            row = (
                f"{name} {form}" if form != "Swin" else f"its Swin, {swin}",
                f"{parameters(model):.2f}",
                f"{said:g}" if said else "",
                f"{works[form] / 1e9:.3f}",
                more,
            )
            print("| " + " | ".join(row) + " |")
        whole = WHOLE_AREAS[name]
        print(f"| {name} AP, whole areas | | | {whole / 1e9:.3f} | {whole / works['Swin'] - 1:+.0%} |")


def seconds(call: Callable[[], object]) -> float:
    start = perf_counter()
    call()
    return perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", choices=WHOLE_AREAS, default="salg_t")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--pairs", type=int, default=5, help="0 for the table alone")
    options = parser.parse_args()
    torch.manual_seed(0)
    images = torch.randn(options.batch, 3, 224, 224)
    compare(images[:1])
    if not options.pairs:
        return
    swin, size = SWINS[options.name]
    models = [registry().create_model(options.name), registry().create_model(swin, **size)]
    work = [WHOLE_AREAS[options.name], multiply_adds(models[1].eval(), images)]
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, batch {options.batch}")

    def forward(model: nn.Module) -> None:
        with torch.no_grad():
            model.eval()(images)

    def training_step(model: nn.Module) -> None:
        model.train()(images).square().mean().backward()

    for step in (forward, training_step):
        for model in models:
            step(model)
        rows = [[seconds(lambda model=model, step=step: step(model)) for model in models] for _ in range(options.pairs)]
        ours, theirs = (median(column) for column in zip(*rows, strict=True))
        ratio = median((row[0] / work[0]) / (row[1] / work[1]) for row in rows)
        print(
            f"{step.__name__:13}  {options.name} {ours:6.3f} s ({work[0] / 1e9:.3f} GMAC per image)   "
            f"swin {theirs:6.3f} s ({work[1] / 1e9:.3f} GMAC)   per multiply-add {ratio:.3f} x swin"
        )


if __name__ == "__main__":
    main()
