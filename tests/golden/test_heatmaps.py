"""Our maps against those of the authors' code, on an unmodified timm model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.golden.model import golden_model
from vitreous.methods import make_method
from vitreous.methods.method import Method
from vitreous.trace.target import Classes, Predicted, Target

TOLERANCE = {torch.float64: 1e-11, torch.float32: 2e-5}


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    with np.load(Path(__file__).with_name("heatmaps.npz")) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def images(golden: dict[str, Tensor], dtype: torch.dtype) -> Tensor:
    return ((golden["images_uint8"].movedim(-1, 1).float() / 255 - 0.5) / 0.5).to(dtype)


def compare(method: Method, golden: dict[str, Tensor], name: str, dtype: torch.dtype, column: int | None) -> None:
    expected = golden[name] if column is None else golden[name][:, column]
    target: Target = Predicted() if column is None else Classes(golden["target_class"][:, column].tolist())
    explanation = method(golden_model().to(dtype), images(golden, dtype), target)
    error = (explanation.heatmap.double() - expected).abs().amax() / expected.abs().amax()
    assert error <= TOLERANCE[dtype]
    if column != 1:
        assert torch.equal(explanation.target, golden["target_class"][:, 0])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize("name", ["ag_cam", "attention_grad_cam"])
def test_class_maps(golden: dict[str, Tensor], name: str, column: int, dtype: torch.dtype) -> None:
    compare(make_method(name), golden, name, dtype, column)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    ("name", "method"),
    [
        ("raw_attention", make_method("raw_attention")),
        ("rollout_start0", make_method("rollout")),
        ("rollout_start1", make_method("rollout", start_layer=1)),
    ],
)
def test_maps_for_every_class(golden: dict[str, Tensor], name: str, method: Method, dtype: torch.dtype) -> None:
    compare(method, golden, name, dtype, None)


def test_logits(golden: dict[str, Tensor]) -> None:
    """The golden model is the one that the authors' code ran on."""
    logits = golden_model().double()(images(golden, torch.float64))
    # their copy of the model ends with a LayerNorm of eps 1e-5 where timm's has 1e-6
    torch.testing.assert_close(logits, golden["logits_float64"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("start", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("column", [0, 1])
def test_transformer_attribution(golden: dict[str, Tensor], start: int, column: int) -> None:
    """In float64 only: their divisions by sums near zero make single precision another number."""
    expected = golden[f"chefer_transformer_attribution_start{start}_eps1e-6"][:, column]
    target = Classes(golden["target_class"][:, column].tolist())
    method = make_method("transformer_attribution", start_layer=start)
    heatmap = method(golden_model().double(), images(golden, torch.float64), target).heatmap
    assert ((heatmap - expected).abs().amax((1, 2)) <= 1e-6 * expected.abs().amax((1, 2))).all()
