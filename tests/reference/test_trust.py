"""Trust in a map, from its definition: one patch hidden at a time by a loop, one forward pass at a time."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

import vitreous
from tests.contract.zoo import CASES
from vitreous import TrustSettings
from vitreous.explaining.trust.orders import patch_values, random_orders, spearman

SETTINGS = TrustSettings(orders=4, steps=5, seed=3, batch_size=7)


def probability(model: nn.Module, image: Tensor, target: int) -> float:
    with torch.no_grad():
        logits = model(image[None])[0].tolist()
    return math.exp(logits[target]) / sum(map(math.exp, logits))


def hidden(image: Tensor, patches: Sequence[int], grid: tuple[int, int]) -> Tensor:
    """The image with 0, the mean color, on the pixels whose center lies in one of the patches."""
    covered = image.clone()
    height, width = image.shape[1:]
    for y, x in itertools.product(range(height), range(width)):
        row, column = int((y + 0.5) * grid[0] / height), int((x + 0.5) * grid[1] / width)
        if row * grid[1] + column in patches:
            covered[:, y, x] = 0
    return covered


def curve(model: nn.Module, image: Tensor, order: Sequence[int], target: int, grid: tuple[int, int]) -> list[float]:
    counts = [len(order) * step // SETTINGS.steps for step in range(SETTINGS.steps + 1)]
    return [probability(model, hidden(image, order[:count], grid), target) for count in counts]


def area_between(model: nn.Module, image: Tensor, order: Sequence[int], target: int, grid: tuple[int, int]) -> float:
    most = curve(model, image, order, target, grid)
    least = curve(model, image, order[::-1], target, grid)
    return (sum(least) - sum(most)) / len(most)


@pytest.mark.parametrize(("name", "grid"), [("timm_vit_wide", None), ("timm_resnet", (14, 14))])
def test_trust(name: str, grid: tuple[int, int] | None) -> None:
    model, images = CASES[name].model().double(), CASES[name].images().double()[:1]
    methods = ["grad_cam", "occlusion" if grid else "ag_cam"]
    settings = {"fill": "mean", "window": 8, "stride": 8}
    made = {each: vitreous.methods.make_method(each, **(settings if each == "occlusion" else {})) for each in methods}
    found = vitreous.explain(model, images, made, target=4)
    (trust,) = vitreous.trust(model, found, settings=SETTINGS)
    grid = grid or tuple(found["ag_cam"].heatmap.shape[1:])  # type: ignore[assignment]
    assert grid is not None
    assert trust.grid == grid
    patches = grid[0] * grid[1]
    assert trust.hidden == tuple(patches * step // 5 for step in range(6))
    drawn = [each.tolist() for each in random_orders(2, patches, 3)]
    random = [area_between(model, images[0], way, 4, grid) for each in drawn for way in (each, each[::-1])]
    assert trust.random == pytest.approx(random, abs=1e-9)
    ranks: dict[str, list[float]] = {}
    for each, mapped in trust.maps.items():
        values = patch_values(found[each].heatmap[0], grid, (images.shape[2], images.shape[3])).tolist()
        order = sorted(range(patches), key=lambda patch: (-values[patch], patch))
        assert list(mapped.order) == order
        assert mapped.most_first.values == pytest.approx(curve(model, images[0], order, 4, grid), abs=1e-9)
        assert mapped.least_first.values == pytest.approx(curve(model, images[0], order[::-1], 4, grid), abs=1e-9)
        assert mapped.abpc == pytest.approx(area_between(model, images[0], order, 4, grid), abs=1e-9)
        assert mapped.above == sum(mapped.abpc > one for one in random)
        ranks[each] = slow_ranks(values)
    one, other = methods
    agreement = trust.maps[one].agreement
    assert set(agreement) == {other}
    assert agreement[other] == pytest.approx(slow_correlation(ranks[one], ranks[other]))
    assert trust.maps[other].agreement == {one: agreement[other]}


def slow_ranks(values: Sequence[float]) -> list[float]:
    return [sum(other < one for other in values) + (sum(other == one for other in values) + 1) / 2 for one in values]


def slow_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    means = sum(one) / len(one), sum(other) / len(other)
    shared = sum((a - means[0]) * (b - means[1]) for a, b in zip(one, other, strict=True))
    sizes = [math.sqrt(sum((each - mean) ** 2 for each in row)) for row, mean in zip((one, other), means, strict=True)]
    return shared / (sizes[0] * sizes[1])


@pytest.mark.parametrize("seed", range(5))
def test_rank_correlation(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    one, other = torch.randint(0, 6, (2, 20), generator=generator).double()  # with many equal values
    expected = slow_correlation(slow_ranks(one.tolist()), slow_ranks(other.tolist()))
    assert spearman(one, other) == pytest.approx(expected)
    assert spearman(one, one**3) == pytest.approx(1)
    assert spearman(one, -one) == pytest.approx(-1)
    assert spearman(one, torch.ones(20)) is None


@pytest.mark.parametrize(("grid", "size"), [((4, 4), (8, 12)), ((3, 5), (7, 11))])
def test_a_map_on_other_patches_is_averaged(grid: tuple[int, int], size: tuple[int, int]) -> None:
    heatmap = torch.rand(2, 3, dtype=torch.float64)
    blocks = patch_values(heatmap, grid, size, blocks=True).reshape(grid)
    for row, column in itertools.product(range(grid[0]), range(grid[1])):
        ys = range(row * size[0] // grid[0], -(-(row + 1) * size[0] // grid[0]))
        xs = range(column * size[1] // grid[1], -(-(column + 1) * size[1] // grid[1]))
        inside = [
            heatmap[int((y + 0.5) * 2 / size[0]), int((x + 0.5) * 3 / size[1])].item()
            for y, x in itertools.product(ys, xs)
        ]
        assert blocks[row, column].item() == pytest.approx(sum(inside) / len(inside))
    assert torch.equal(patch_values(heatmap, (2, 3), size), heatmap.flatten())
