"""Which of many like tests run in `make test`; the others are `slow`, and run in `make test-all`."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from _pytest.mark import ParameterSet

__all__ = ["quick"]

# one that reads the class token's stream, every block, a layer, all attention, rules, and hidden pixels
METHODS = ("ag_cam", "attcat", "grad_cam", "mgrw", "rollout", "transformer_attribution")


def quick(names: Iterable[str], few: Iterable[str] = METHODS) -> list[ParameterSet]:
    """All of these as parameters, those that are not among the few marked `slow`."""
    kept = {*few}
    return [pytest.param(name, marks=[] if name in kept else pytest.mark.slow, id=name) for name in names]
