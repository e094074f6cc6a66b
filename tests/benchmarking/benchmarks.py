"""A small plan, and what comes of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from vitreous.benchmarking.job import Outcome
from vitreous.benchmarking.plan import Plan

CPU = torch.device("cpu")


def plan(dataset: str, spec: str, **changes: Any) -> Plan:
    values: dict[str, Any] = {
        "models": (spec,),
        "methods": {"ag_cam": {}, "rollout_1": {"use": "rollout", "start_layer": 1}},
        "metrics": {"box_overlap": {"misclassified": True}, "average_drop": {}},
        "batch_size": 4,
        "resamples": 100,
    }
    return Plan(dataset, **{**values, **changes})


def numbers(outcome: Outcome) -> dict[tuple[str, str, str], float]:
    return {(cell.method, cell.metric, cell.name): cell.value for cell in outcome.table.cells}


def assert_same(one: Outcome, other: Outcome) -> None:
    """Equal cells."""
    for mine, its in zip(one.table.cells, other.table.cells, strict=True):
        assert (mine.method, mine.metric, mine.name, mine.pictures) == (its.method, its.metric, its.name, its.pictures)
        assert (mine.value, mine.low, mine.high) == pytest.approx((its.value, its.low, its.high), abs=1e-5)
