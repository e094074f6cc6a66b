"""Few patches that see nearly all of a picture show no edges between them, and are not taken for a crop."""

from __future__ import annotations

import pytest
import timm
import torch

from vitreous.trace.covering import Along
from vitreous.trace.observe import observe


@pytest.mark.parametrize(
    ("name", "size", "side"),
    [("convit_tiny", 64, 4), pytest.param("vit_small_r26_s32_224", 96, 3, marks=pytest.mark.slow)],
)
def test_models_that_mix_patches_before_they_attend_are_taken(name: str, size: int, side: int) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, img_size=size, num_classes=3).eval()
    tokens = observe(model, torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))).tokens
    assert (tokens.height, tokens.width) == (side, side)


def along(runs: list[tuple[float, int]], spread: float) -> Along:
    """So many pixels that each reach patches of this mean place."""
    means = torch.cat([torch.full((pixels,), mean, dtype=torch.float64) for mean, pixels in runs])
    return Along(len(means), 0, len(means), 0, means, spread)


def test_what_reaches_all_patches_alike_tells_no_edge() -> None:
    runs = [(0.0, 10), (1.0, 76), (2.0, 10)]
    assert along(runs, spread=0.83).patch(3) == 32
    assert along(runs, spread=0.04).patch(3) == 76


def test_what_is_blurred_between_neighbors_tells_no_edge() -> None:
    blurred = [(0.15, 16), (1.0, 16), (2.0, 16), (2.85, 16)]
    assert along(blurred, spread=0.48).patch(4) == 16
    clear = [(0.0, 20), (1.0, 12), (2.0, 12), (3.0, 20)]
    assert along(clear, spread=0.04).patch(4) == 12
