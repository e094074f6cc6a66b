"""The comparison with hilrp, as far as it runs without hilrp."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from vitreous.relevance.composites import LIBRA_GRAD

ROOT = Path(__file__).parents[2]


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.hilrp_agreement")


def test_a_missing_peer_is_told(benchmark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hilrp", None)
    monkeypatch.setattr(sys, "argv", ["hilrp_agreement"])
    with pytest.raises(SystemExit, match=r"The other side is missing: .*hilrp"):
        benchmark.main()


def test_ours_adds_up_at_every_stage_without_biases_and_folding_changes_nothing(benchmark: Any) -> None:
    name = "mobilevitv2_050"
    model, image = benchmark.prepared(name, 0.0)
    both = [
        benchmark.ours(each, image, benchmark.CASES[name].stages, LIBRA_GRAD)
        for each in (model, benchmark.folded(model))
    ]
    for each in both:
        sums = torch.stack([part.sum() for part in each.parts])
        torch.testing.assert_close(sums, torch.full_like(sums, each.score))
    assert min(both[0].correlations(both[1])) > 1 - 1e-9
