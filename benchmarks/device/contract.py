"""Every method on a kind of model: on the device as on the CPU, and no memory kept."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from copy import deepcopy

import torch
from benchmarks.device.runner import Row, Setup
from tests.contract.promises import CANCELLING, DEFAULT, DOUBLE_ONLY, explain, refusal
from tests.contract.test_methods import HALF, REFUSED, VANISHING
from tests.contract.zoo import CASES, Case
from tests.quick import METHODS

import vitreous
from vitreous.errors import DegenerateMap, TooFewDigits

KINDS = (
    "timm_vit",
    "timm_vit_mean",
    "timm_dinov2_registers",
    "timm_eva02",
    "torchvision_vit",
    "timm_swin",
    "salg",
    "timm_resnet",
)
# of the map's peak; where sums nearly cancel, double precision tells a wrong formula from rounding
SINGLE, DOUBLE, HALVED = 1e-3, 1e-4, 0.1


def compare(kind: str, setup: Setup) -> list[Row]:
    case = CASES[kind]
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    rows: list[Row] = []
    for name in METHODS if setup.tiny else DEFAULT:  # toys: one of each family
        expected = refusal(case, name)
        rows += [_refuses(case, name, expected, setup)] if expected else _attempt(name, _agrees(case, name, setup))
        if kind == KINDS[0] and not expected:
            rows += _attempt(name, _half(case, name, setup))
    return rows


def _attempt(name: str, rows: Iterator[Row]) -> list[Row]:
    """What one method does not stand on a device says nothing of the others."""
    try:
        return [*rows]
    except Exception as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0].replace("|", "/")
        return [Row(f"{name} works", 0.0, "", at_least=1, note=said)]


def _refuses(case: Case, name: str, expected: str, setup: Setup) -> Row:
    """1 where the device refuses with the error that the CPU refuses with."""
    try:
        explain(case, DEFAULT[name], case.model().to(setup.device), case.images().to(setup.device))
        said = "no error"
    except Exception as error:
        said = type(error).__name__
    return Row(f"{name} refuses", float(said == expected), "", at_least=1, note=f"{said}, wanted {expected}")


def _agrees(case: Case, name: str, setup: Setup) -> Iterator[Row]:
    """How far the device's map lies from the CPU's, and what memory a second call keeps."""
    method = DEFAULT[name]
    exact = name in DOUBLE_ONLY | CANCELLING
    dtype = torch.float64 if exact else torch.float32
    model, images = case.model().to(dtype), case.images().to(dtype)
    target, there = explain(case, method, model, images)
    moved, pictures = deepcopy(model).to(setup.device), images.to(setup.device)
    target, here = explain(case, method, moved, pictures, target)
    wanted = there.heatmap
    off = ((here.heatmap.cpu() - wanted).abs().max() / wanted.abs().max()).item()
    yield Row(name, off, "of the peak", DOUBLE if exact else SINGLE, note=str(dtype).removeprefix("torch."))
    if setup.device.type == "cuda":
        before = _allocated(setup)
        explain(case, method, moved, pictures, target)
        kept = _allocated(setup) - before
        yield Row(f"{name} keeps", kept, "bytes", at_most=0)


def _half(case: Case, name: str, setup: Setup) -> Iterator[Row]:
    """The map in bfloat16 next to the one in double precision; or it refuses, as it says."""
    method, what = DEFAULT[name], f"{name} in bfloat16"
    target, there = explain(case, method, case.model().double(), case.images().double())
    half, images = case.model().to(setup.device, torch.bfloat16), case.images().to(setup.device, torch.bfloat16)
    refuses = name in REFUSED[torch.bfloat16]
    try:
        here = vitreous.explain(half, images, method, target, **case.how).heatmap
    except TooFewDigits:
        yield Row(what, float(refuses), "", at_least=1, note="refuses: too few digits")
        return
    except DegenerateMap:
        yield Row(what, float(name in VANISHING), "", at_least=1, note="one patch was all of the map")
        return
    wanted = there.heatmap
    off = ((here.cpu().double() - wanted).abs().max() / wanted.abs().max()).item()
    yield Row(what, off, "of the peak", at_most=HALF.get(name, HALVED))


def _allocated(setup: Setup) -> int:
    gc.collect()
    setup.synchronize()
    return torch.cuda.memory_allocated(setup.device)
