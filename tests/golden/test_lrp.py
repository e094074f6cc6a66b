"""Chefer's LRP variants and their second set of rules against the authors' code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.golden.model import golden_model
from vitreous.methods import make_method
from vitreous.relevance.rule import Operation
from vitreous.relevance.rules import sum_z, z_signs
from vitreous.trace.target import Classes

Golden = dict[str, Tensor]


@pytest.fixture(scope="module")
def golden() -> Golden:
    arrays: Golden = {}
    for name in ("heatmaps.npz", "lrp.npz"):
        with np.load(Path(__file__).with_name(name)) as file:
            arrays |= {key: torch.from_numpy(file[key]) for key in file.files}
    return arrays


@pytest.mark.parametrize("column", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("full_patchsum", {}),
        ("last_layer", {"readout": "last_layer"}),
        ("second_layer", {"readout": "second_layer"}),
        ("lrp_rollout_start0", {"readout": "rollout"}),
        ("lrp_rollout_start1", {"readout": "rollout", "start_layer": 1}),
    ],
)
def test_lrp(golden: Golden, name: str, settings: dict[str, object], column: int) -> None:
    """In float64 only: their divisions by sums near zero make single precision another number."""
    model = golden_model().double()
    model.norm.eps = 1e-5  # theirs ends with torch's default
    images = ((golden["images_uint8"].movedim(-1, 1).float() / 255 - 0.5) / 0.5).double()
    target = Classes(golden["target_class"][:, column].tolist())
    heatmap = make_method("lrp", **settings)(model, images, target).heatmap
    expected = golden[f"chefer_{name}"][:, column]
    tolerance = 1e-9 if name == "last_layer" else 1e-8
    assert ((heatmap - expected).abs().amax((1, 2)) <= tolerance * expected.abs().amax((1, 2))).all()


def close(got: Tensor | None, expected: Tensor) -> None:
    assert got is not None
    assert (got - expected).abs().max() <= 1e-12 * expected.abs().max()


def test_linear_by_the_second_set(golden: Golden) -> None:
    x, weight, bias = (golden[f"orig_linear_{name}"] for name in "xwb")
    step = Operation((x, weight, bias), F.linear(x, weight, bias), F.linear)
    close(z_signs(step, golden["orig_linear_Rout"])[0], golden["orig_linear_Rin"])


def test_sum_by_the_second_set(golden: Golden) -> None:
    a, b, relevance = (golden[f"orig_add_{name}"] for name in ("a", "b", "Rout"))
    total = a + b
    before_clone = relevance / (total / (total + 1e-9))  # so that the clone's own factor gives the golden Rout
    shares = sum_z(Operation((a, b), total, torch.add), before_clone)
    close(shares[0], golden["orig_add_Ra"])
    close(shares[1], golden["orig_add_Rb"])
