"""Every metric on the device as on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from benchmarks.device.runner import Row, Setup, seconds
from tests.contract.test_metrics import JUDGES, data, score
from torch import Tensor, nn

from vitreous.metrics.metric import Inputs


def moved(inputs: Inputs, device: torch.device) -> Inputs:
    """Truths stay where the files were read, as in a benchmark."""
    there = {name: value.to(device) for name, value in vars(inputs).items() if isinstance(value, Tensor | nn.Module)}
    return replace(inputs, **there)


def judge(name: str, setup: Setup) -> Iterator[Row]:
    wanted, metric = score(JUDGES[name], data()), JUDGES[name]
    inputs = moved(data(), setup.device)
    got = score(metric, inputs)
    took = seconds(lambda: score(metric, inputs), setup)
    for quantity, value in wanted.items():
        size = value.abs().max().clamp(min=1)
        off = ((got[quantity].cpu() - value).abs().max() / size).item()
        yield Row(f"{name}, {quantity}", off, "", at_most=1e-3, note=f"{1e3 * took:.1f} ms a batch of four")
