"""SALG next to Swin, and fields of WinfT skipped or masked: forward pass, training step, memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from benchmarks.device.runner import Row, Setup, in_turn, peak
from benchmarks.salg_cost import SWIN, WHOLE_AREAS, multiply_adds
from torch import Tensor, nn

from vitreous.interact.attention_windows import fixed_windows
from vitreous.models.registry import registry
from vitreous.models.winft.sparse import SparseAttention
from vitreous.trace.observed import TokenGrid


def forward(model: nn.Module, images: Tensor, how: AbstractContextManager[object]) -> None:
    with torch.no_grad(), how:
        model.eval()(images)


def training_step(model: nn.Module, images: Tensor, how: AbstractContextManager[object]) -> None:
    with how:
        model.train()(images).square().mean().backward()
    model.zero_grad()


def salg(setup: Setup) -> Iterator[Row]:
    name = "salg_st" if setup.tiny else "salg_t"
    torch.manual_seed(0)
    models = [registry().create_model(each) for each in (name, SWIN)]
    swins = multiply_adds(models[1].eval(), torch.randn(1, 3, 224, 224))
    work = WHOLE_AREAS[name] / swins
    images = torch.randn(1 if setup.tiny else 64, 3, 224, 224).to(setup.device, torch.bfloat16)
    models = [model.to(setup.device, torch.bfloat16) for model in models]
    for step in (forward, training_step):
        calls = [partial(step, model, images, nullcontext()) for model in models]
        yield from _next_to(f"{name} / Swin-T, {step.__name__}", calls, setup, work)


def winft(setup: Setup) -> Iterator[Row]:
    side = 8 if setup.tiny else 28
    patches = side**2
    torch.manual_seed(0)
    model = registry().create_model("winft_tiny", img_size=16 * side).to(setup.device, torch.bfloat16)
    images = torch.randn(2 if setup.tiny else 32, 3, 16 * side, 16 * side).to(setup.device, torch.bfloat16)
    sparse = SparseAttention()  # flex on CUDA, tiles elsewhere
    for radius in (1,) if setup.tiny else (1, 3, 8):
        field = fixed_windows(TokenGrid(1, side, side), radius).to(setup.device)
        model.set_fields(field.expand(len(model.blocks), patches, patches))
        for step in (forward, training_step):
            calls = [partial(step, model, images, how) for how in (sparse, nullcontext())]
            what = f"WinfT skipping / masked, windows of {2 * radius + 1}, {step.__name__}"
            yield from _next_to(what, calls, setup)


def _next_to(what: str, calls: Sequence[Callable[[], object]], setup: Setup, work: float = 1.0) -> Iterator[Row]:
    """The first over the second, each per multiply-add, where one has `work` times as many."""
    ours, theirs = in_turn(calls, setup)
    per = "" if work == 1 else f" ({ours / theirs / work:.3f} × per multiply-add)"
    yield Row(what, ours / theirs, "×", note=f"{1e3 * ours:.1f} ms to {1e3 * theirs:.1f} ms{per}")
    most, least = (peak(call, setup) for call in calls)
    yield Row(f"{what}, peak memory", most / least, "×", note=f"{most:.1f} MiB to {least:.1f} MiB")
