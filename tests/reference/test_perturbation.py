"""Methods that hide parts of the picture, from their equations: one mask, one pixel, one forward pass at a time."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from tests.contract.zoo import CASES
from tests.quick import quick
from vitreous.errors import ShapeError
from vitreous.methods import make_method
from vitreous.methods.occlusion import SlidingWindows
from vitreous.methods.rise import draw_shades
from vitreous.methods.vit_cx import complete_linkage
from vitreous.trace.target import Classes

CLASS, MEAN, STD = 4, (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)


def load(name: str) -> tuple[nn.Module, Tensor]:
    return CASES[name].model().double(), CASES[name].images().double()


def score(model: nn.Module, image: Tensor, scale: str = "probability") -> float:
    with torch.no_grad():
        output = model(image[None])
    logits = getattr(output, "logits", output)[0].tolist()
    return math.exp(logits[CLASS]) / sum(map(math.exp, logits)) if scale == "probability" else logits[CLASS]


@pytest.mark.parametrize(
    ("name", "scale"), [("timm_vit_wide", "probability"), pytest.param("timm_resnet", "logit", marks=pytest.mark.slow)]
)
def test_occlusion(name: str, scale: str) -> None:
    model, images = load(name)
    height, width = images.shape[2:]
    gray = torch.tensor([(0.5 - m) / s for m, s in zip(MEAN, STD, strict=True)], dtype=torch.float64)
    settings = {"window": 12, "stride": 8, "score": scale, "mean": MEAN, "std": STD, "batch_size": 5}
    got = make_method("occlusion", **settings)(model, images, Classes((CLASS,))).heatmap
    for image, heatmap in zip(images, got, strict=True):
        for row in range(height // 8):
            for column in range(width // 8):
                covered = image.clone()
                for y in range(max(0, 8 * row - 2), min(height, 8 * row + 10)):
                    for x in range(max(0, 8 * column - 2), min(width, 8 * column + 10)):
                        covered[:, y, x] = gray
                drop = score(model, image, scale) - score(model, covered, scale)
                assert heatmap[row, column].item() == pytest.approx(drop, rel=1e-7, abs=1e-11)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 4), st.integers(1, 12))
def test_windows_are_centered_on_their_cells(rows: int, columns: int, stride: int, window: int) -> None:
    windows = SlidingWindows((rows * stride, columns * stride), window, stride)
    every = windows[0 : len(windows)]
    assert torch.equal(torch.cat([windows[at : at + 1] for at in range(len(windows))]), every)
    for at, mask in enumerate(every):
        for y in range(rows * stride):
            for x in range(columns * stride):
                off = [abs(p + 0.5 - (c + 0.5) * stride) for p, c in ((y, at // columns), (x, at % columns))]
                assert mask[y, x] == (max(off) < window / 2)


def test_a_stride_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ShapeError, match="`stride` 7 does not divide 32×32 pixels"):
        make_method("occlusion", stride=7, fill="mean")(*load("timm_vit"))


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("name", quick(["timm_vit_wide", "timm_swin"], ["timm_vit_wide"]))
def test_rise(name: str, centered: bool) -> None:
    model, images = load(name)
    size = (images.shape[2], images.shape[3])
    masks, grid, visible = 12, 5, 0.4
    method = make_method("rise", masks=masks, grid=grid, visible=visible, centered=centered, seed=3, batch_size=5)
    got = method(model, images, Classes((CLASS,))).heatmap
    shades = draw_shades(masks, grid, visible, size, 3)
    each = [slow_mask(cells, shift, size) for cells, shift in zip(shades.dark, shades.shift.tolist(), strict=True)]
    for image, heatmap in zip(images, got, strict=True):
        scores = [score(model, image * mask) for mask in each]
        mean = sum(scores) / masks if centered else 0.0
        total = sum(((value - mean) * mask for value, mask in zip(scores, each, strict=True)), torch.zeros(size))
        expected = total / sum(each, torch.zeros(size)) if centered else total / (masks * visible)
        torch.testing.assert_close(heatmap, expected, rtol=1e-6, atol=1e-7)


def slow_mask(dark: Tensor, shift: list[int], size: tuple[int, int]) -> Tensor:
    """Bilinear: cell (i, j) has its value at its center, straight lines between, constant beyond the outer centers."""
    grid, cells = len(dark), dark.tolist()
    mask = [[0.0] * size[1] for _ in range(size[0])]
    sides = [math.ceil(side / grid) * (grid + 1) for side in size]
    for y in range(size[0]):
        for x in range(size[1]):
            at = [
                min(max((pixel + move + 0.5) * grid / side - 0.5, 0.0), grid - 1.0)
                for pixel, move, side in zip((y, x), shift, sides, strict=True)
            ]
            for i in range(grid):
                for j in range(grid):
                    share = max(0.0, 1 - abs(at[0] - i)) * max(0.0, 1 - abs(at[1] - j))
                    mask[y][x] += share * (not cells[i][j])
    return torch.tensor(mask, dtype=torch.float64)


def test_rise_masks_are_random_in_place_and_visible_as_often_as_asked() -> None:
    shades = draw_shades(4000, 7, 0.3, (32, 32), 0)
    seen = 1 - torch.cat([shades[start : start + 500] for start in range(0, 4000, 500)])
    assert (seen.mean(0) - 0.3).abs().max() < 0.03
    assert set(shades.shift.flatten().tolist()) == set(range(5))
    assert torch.equal(draw_shades(4000, 7, 0.3, (32, 32), 0)[100:110], shades[100:110])
    assert not torch.equal(draw_shades(4000, 7, 0.3, (32, 32), 1)[100:110], shades[100:110])


@pytest.mark.parametrize("visible", [0.0, 1.0])
def test_rise_needs_light_and_dark(visible: float) -> None:
    with pytest.raises(ShapeError, match="`visible` must lie between 0 and 1"):
        make_method("rise", visible=visible)(*load("timm_vit"))


@pytest.mark.parametrize(
    ("centered", "scale"), [(True, "logit"), pytest.param(False, "probability", marks=pytest.mark.slow)]
)
def test_vit_cx(centered: bool, scale: str) -> None:
    model, images = load("timm_vit_wide")
    norm: list[Tensor] = []
    handle = model.blocks[-1].norm1.register_forward_hook(lambda _, __, out: norm.append(out.detach()))
    model(images)
    handle.remove()
    got = make_method("vit_cx", seed=3, batch_size=5, centered=centered, score=scale)(model, images, Classes((CLASS,)))
    assert got.layer == "blocks.2.norm1"
    for image, tokens, heatmap in zip(images, norm[0], got.heatmap, strict=True):
        masks = [scaled(enlarge(channel.view(3, 5), (24, 40))) for channel in tokens[1:].T]
        clusters = slow_linkage(masks, 0.1)
        merged = [scaled(torch.stack([masks[at] for at in cluster]).sum(0)) for cluster in clusters]
        total, expected = torch.stack(merged).sum(0), torch.zeros(24, 40, dtype=torch.float64)
        for number, mask in enumerate(merged):
            noise = 0.1 * torch.randn(3, 24, 40, generator=torch.Generator().manual_seed(3 + number)).double()
            through, whole = (score(model, seen + noise * (1 - mask), scale) for seen in (image * mask, image))
            intact = 0.0 if centered else score(model, image, scale)
            expected += (through - whole + intact) * mask / total / len(merged)
        torch.testing.assert_close(heatmap, expected, rtol=1e-4, atol=1e-6)


def enlarge(small: Tensor, size: tuple[int, int]) -> Tensor:
    large, values = [[0.0] * size[1] for _ in range(size[0])], small.tolist()
    for y in range(size[0]):
        for x in range(size[1]):
            at = [
                min(max((pixel + 0.5) * few / many - 0.5, 0.0), few - 1.0)
                for pixel, few, many in zip((y, x), small.shape, size, strict=True)
            ]
            for i in range(small.shape[0]):
                for j in range(small.shape[1]):
                    large[y][x] += max(0.0, 1 - abs(at[0] - i)) * max(0.0, 1 - abs(at[1] - j)) * values[i][j]
    return torch.tensor(large, dtype=torch.float64)


def scaled(values: Tensor) -> Tensor:
    return (values - values.min()) / (values.max() - values.min())


def slow_linkage(masks: list[Tensor], threshold: float) -> list[list[int]]:
    """Merge the two clusters whose farthest members are nearest, as long as these are below the threshold."""
    flat = [mask.flatten() for mask in masks]
    apart = [[1 - ((a @ b) / (a.norm() * b.norm())).item() for b in flat] for a in flat]
    clusters = [[at] for at in range(len(masks))]
    while len(clusters) > 1:
        pairs = [
            (max(apart[a][b] for a in one for b in other), i, i + 1 + j)
            for i, one in enumerate(clusters)
            for j, other in enumerate(clusters[i + 1 :])
        ]
        nearest, i, j = min(pairs)
        if nearest >= threshold:
            break
        clusters[i] += clusters.pop(j)
    return clusters


@given(st.integers(1, 12), st.floats(0.0, 1.0), st.integers(0, 2**16))
def test_complete_linkage(count: int, threshold: float, seed: int) -> None:
    masks = [*torch.rand(count, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)]
    unit = torch.stack([mask / mask.norm() for mask in masks])
    found = complete_linkage((1 - unit @ unit.T).clamp(min=0), threshold)
    assert [(found == at).nonzero()[:, 0].tolist() for at in range(int(found.max()) + 1)] == [
        sorted(cluster) for cluster in slow_linkage(masks, threshold)
    ]


@pytest.mark.parametrize(
    ("name", "centered", "scale"),
    [
        ("timm_vit_wide", True, "probability"),
        ("timm_vit_wide", False, "logit"),
        ("timm_vit_registers_mean", True, "logit"),
    ],
)
def test_tis(name: str, centered: bool, scale: str) -> None:
    model, images = load(name)
    prefix = 1 if name == "timm_vit_wide" else 4
    outputs: list[Tensor] = []
    handles = [b.register_forward_hook(lambda _, __, out: outputs.append(out.detach())) for b in model.blocks]
    model(images)
    for handle in handles:
        handle.remove()
    count, kept, seed = 6, 0.4, 3
    settings = {"masks": count, "kept": kept, "centered": centered, "score": scale, "seed": seed, "batch_size": 4}
    method = make_method("tis", **settings)
    got = method(model, images, Classes((CLASS,))).heatmap
    for at, image in enumerate(images):
        channels = [channel for out in outputs for channel in out[at, prefix:].T]
        patches = len(channels[0])
        start = torch.randperm(len(channels), generator=torch.Generator().manual_seed(seed))[:count].tolist()
        centers = slow_k_means(channels, [channels[one] for one in start])
        sums, covered = [0.0] * patches, [0] * patches
        halves = [
            sorted(range(patches), key=lambda one: -center[one].item())[: int(kept * patches)] for center in centers
        ]
        values = [
            score_of_some(model, image, [*range(prefix), *(prefix + one for one in sorted(best))], scale)
            for best in halves
        ]
        mean = sum(values) / count if centered else 0.0
        for best, value in zip(halves, values, strict=True):
            for one in best:
                sums[one] += value - mean
                covered[one] += 1
        expected = [total / many if many else 0.0 for total, many in zip(sums, covered, strict=True)]
        torch.testing.assert_close(got[at].flatten(), torch.tensor(expected, dtype=torch.float64), rtol=1e-6, atol=1e-9)


def slow_k_means(points: list[Tensor], centers: list[Tensor]) -> list[Tensor]:
    for _ in range(100):
        nearest = [min(range(len(centers)), key=lambda c: ((point - centers[c]) ** 2).sum().item()) for point in points]
        moved = []
        for at, center in enumerate(centers):
            members = [point for point, one in zip(points, nearest, strict=True) if one == at]
            moved.append(sum(members[1:], members[0]) / len(members) if members else center)
        shift = sum(((a - b) ** 2).sum().item() for a, b in zip(moved, centers, strict=True))
        centers = moved
        if shift <= 1e-4:
            break
    return centers


def score_of_some(model: nn.Module, image: Tensor, tokens: list[int], scale: str) -> float:
    """The plain timm ViT, written out, on some of its tokens."""
    embedded = model._pos_embed(model.patch_embed(image[None]))[:, tokens]
    with torch.no_grad():
        logits = model.forward_head(model.norm(model.blocks(model.norm_pre(embedded))))[0].tolist()
    return math.exp(logits[CLASS]) / sum(map(math.exp, logits)) if scale == "probability" else logits[CLASS]


@pytest.mark.parametrize("kept", [0.0, 1.0])
def test_tis_keeps_some_and_drops_some(kept: float) -> None:
    with pytest.raises(ShapeError, match="of 4×4 patches"):
        make_method("tis", kept=kept)(*load("timm_vit"))
