"""Which of many like tests run in `make test`; the others are `slow`, and run in `make test-all`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

import pytest
from _pytest.mark import ParameterSet

__all__ = ["KINDS", "METHODS", "quick", "quick_pairs"]

# one that reads the class token's stream, every block, a layer, all attention, rules, and hidden pixels
METHODS = ("ag_cam", "attcat", "grad_cam", "mgrw", "rollout", "transformer_attribution")
# models of `tests/contract/zoo.py`, one at least of each kind: of those of which the same is expected
KINDS = (
    "timm_vit",
    "timm_vit_registers_mean",
    "timm_dinov3",
    "timm_beit",
    "timm_siglip",
    "timm_xcit",
    "timm_swin",
    "hf_dinov2_registers_sdpa",
    "hf_clip_sdpa",
    "timm_resnet",
    "timm_mobilenet",
    "siamese",
    "ensemble",
    "vit_pytorch",
    "hf_detr",
    "regressor",
    "headless",
)


def quick(names: Iterable[str], few: Iterable[str] = METHODS) -> list[ParameterSet]:
    """All of these as parameters, those that are not among the few marked `slow`."""
    kept = {*few}
    return [pytest.param(name, marks=[] if name in kept else pytest.mark.slow, id=name) for name in names]


def quick_pairs(
    names: Iterable[str], others: Iterable[str], few: Iterable[str], few_others: Iterable[str] = METHODS
) -> list[ParameterSet]:
    """All pairs as parameters, those of which neither is among the few marked `slow`."""
    kept, kept_others = {*few}, {*few_others}
    return [
        pytest.param(
            *pair, marks=[] if pair[0] in kept or pair[1] in kept_others else pytest.mark.slow, id="-".join(pair)
        )
        for pair in product(names, others)
    ]
