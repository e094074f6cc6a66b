"""A map on its picture: where it lies, how it is scaled, how strongly it shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vitreous.errors import ShapeError
from vitreous.render.colormap import colorize
from vitreous.render.overlay import Scale, overlay, upsample


def test_a_patch_value_lies_at_the_patch_center() -> None:
    heatmap = torch.rand(3, 4)
    wide = upsample(heatmap, (3 * 5, 4 * 5))
    torch.testing.assert_close(wide[2::5, 2::5], heatmap)


def test_the_edges_meet() -> None:
    wide = upsample(torch.tensor([[1.0, 2.0]]), (4, 8))
    assert (wide[:, :2] == 1).all()
    assert (wide[:, -2:] == 2).all()


def test_upsample_takes_one_map() -> None:
    with pytest.raises(ShapeError, match=r"got \(1, 2, 2\)"):
        upsample(torch.rand(1, 2, 2), (4, 4))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(2, 9), st.sampled_from([1e-30, 1.0, 1e30]), st.integers(0, 99))
def test_a_map_fills_its_scale(height: int, width: int, size: float, seed: int) -> None:
    heatmap = torch.randn(height, width, generator=torch.Generator().manual_seed(seed)) * size
    places = Scale.of([heatmap]).of_values(heatmap)
    assert places.min() == 0
    assert places.max() == 1
    assert np.array_equal(places.ravel().argsort(), heatmap.flatten().argsort().numpy())


def test_zero_is_the_middle_of_two_sides_and_clear() -> None:
    heatmap = torch.tensor([[-1.0, 0.0], [0.5, 4.0]])
    scale = Scale.of([heatmap], signed=True)
    places = scale.of_values(heatmap)
    assert (scale.low, scale.high) == (-4, 4)
    assert places.tolist() == [[0.375, 0.5], [0.5625, 1.0]]
    assert scale.strength(places).tolist() == [[0.25, 0.0], [0.125, 1.0]]
    gray = Image.new("RGB", (2, 2), "gray")
    shown = np.asarray(overlay(gray, heatmap, signed=True)).astype(int)
    assert (shown[0, 1] == np.asarray(gray)[0, 1]).all(), "zero leaves the picture as it is"
    assert shown[0, 0, 2] > shown[0, 0, 0], "blue speaks against"
    assert shown[1, 1, 0] > shown[1, 1, 2], "orange speaks for"


def test_one_scale_for_several_maps() -> None:
    weak, strong = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 4.0]])
    scale = Scale.of([weak, strong])
    assert scale.of_values(weak).tolist() == [[0.0, 0.25]]
    black = Image.new("RGB", (2, 1))
    assert np.asarray(overlay(black, weak, scale=scale)).max() < np.asarray(overlay(black, strong, scale=scale)).max()


@pytest.mark.parametrize("value", [0.0, 3.0, torch.nan, torch.inf])
@pytest.mark.parametrize("signed", [False, True])
def test_nothing_to_color(value: float, signed: bool) -> None:
    with pytest.raises(ShapeError, match="nothing to color"):
        overlay(Image.new("RGB", (8, 8)), torch.full((2, 2), value), signed=signed)


def test_a_constant_map_is_constant_at_any_size() -> None:
    heatmap = torch.full((4, 4), 0.1)
    wide = upsample(heatmap, (30, 30))
    assert wide.min() == wide.max(), "in single precision, resizing gives it some grain"
    with pytest.raises(ShapeError, match="nothing to color"):
        overlay(Image.new("RGB", (30, 30)), heatmap)


def test_tiny_double_values_are_not_lost() -> None:
    heatmap = torch.tensor([[0.0, 1e-60]], dtype=torch.float64)
    overlay(Image.new("RGB", (8, 8)), heatmap)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_overlay_keeps_the_size_of_the_picture(dtype: torch.dtype) -> None:
    picture = Image.new("RGB", (37, 21), "gray")
    assert overlay(picture, torch.rand(4, 7).to(dtype).requires_grad_()).size == (37, 21)


def test_blocks_keep_their_edges() -> None:
    picture, heatmap = Image.new("RGB", (8, 8)), torch.tensor([[0.0, 1.0], [0.5, 0.0]])
    drawn = np.asarray(overlay(picture, heatmap, alpha=1, blocks=True))
    for row in (0, 1):
        for column in (0, 1):
            block = drawn[4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            assert (block == block[0, 0]).all()
    assert len(np.unique(np.asarray(overlay(picture, heatmap, alpha=1)).reshape(-1, 3), axis=0)) > 3


def test_alpha_runs_from_the_picture_to_the_map() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (2, 2, 3), dtype=np.uint8))
    heatmap = torch.tensor([[0.0, 0.2], [0.5, 1.0]])
    bare, covered = overlay(picture, heatmap, alpha=0.0), overlay(picture, heatmap, alpha=1.0)
    assert np.array_equal(np.asarray(bare), np.asarray(picture))
    assert np.array_equal(np.asarray(covered)[1, 1], colorize(heatmap.numpy())[1, 1])


def test_strong_places_hide_more_of_the_picture_than_weak_ones() -> None:
    heatmap = torch.tensor([[0.0, 1.0]])
    black = np.asarray(overlay(Image.new("RGB", (2, 1), "black"), heatmap)).astype(int)
    white = np.asarray(overlay(Image.new("RGB", (2, 1), "white"), heatmap)).astype(int)
    seen = (white - black).mean(-1)[0]
    assert seen[0] == 255 > seen[1] > 0, "black stays black and white white where nothing is"


@pytest.mark.parametrize("alpha", [-0.1, 1.5])
def test_alpha_outside_its_range(alpha: float) -> None:
    with pytest.raises(ShapeError, match="`alpha`"):
        overlay(Image.new("RGB", (2, 2)), torch.rand(2, 2), alpha=alpha)
