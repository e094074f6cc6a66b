"""Our CAMs against those of pytorch-grad-cam, whose users name the layer and reshape its tokens themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.golden.model import golden_model
from vitreous.methods import make_method
from vitreous.trace.target import Classes


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    arrays: dict[str, Tensor] = {}
    for name in ("heatmaps.npz", "cams.npz"):
        with np.load(Path(__file__).with_name(name)) as file:
            arrays |= {key: torch.from_numpy(file[key]) for key in file.files}
    return arrays


def error(golden: dict[str, Tensor], name: str, images: int, column: int, **settings: object) -> float:
    pixels = (golden["images_uint8"][:images].movedim(-1, 1).float() / 255 - 0.5) / 0.5
    target = Classes(golden["target_class"][:images, column].tolist())
    explanation = make_method(name, **settings)(golden_model(), pixels, target)
    assert explanation.layer == "blocks.11.norm1"
    expected = golden[name][:, column].relu()
    return ((explanation.heatmap - expected).abs().max() / expected.abs().max()).item()


@pytest.mark.parametrize("column", [0, 1])
def test_grad_cam(golden: dict[str, Tensor], column: int) -> None:
    assert error(golden, "grad_cam", 2, column) <= 1e-5


@pytest.mark.slow
def test_score_cam(golden: dict[str, Tensor]) -> None:
    """Their Score-CAM is ours with their interpolation."""
    assert error(golden, "score_cam", 1, 0, align_corners=True) <= 1e-4
