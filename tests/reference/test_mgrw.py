"""MGRW from its algorithms, one image, one walk and one pixel at a time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

import pytest
import timm
import torch
from torch import Tensor, nn

from tests.contract.libraries import TINY
from tests.contract.zoo import CASES, Case
from vitreous.methods import make_method
from vitreous.methods.reduct import Level, Reduct
from vitreous.trace.observe import observe
from vitreous.trace.target import Classes

CLASS, WALKS, LENGTH, SEED, BETA = 3, 60, 9, 5, 10.0
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.5)
Graph = dict[int, dict[int, float]]


def score(model: nn.Module, image: Tensor) -> list[float]:
    with torch.no_grad():
        logits = model(image[None])[0].tolist()
    total = sum(math.exp(logit) for logit in logits)
    return [math.exp(logit) / total for logit in logits]


def without(image: Tensor, blocks: set[int], grid: tuple[int, int]) -> Tensor:
    """Black where the blocks are, before normalisation."""
    pixels = [image[c] * STD[c] + MEAN[c] for c in range(3)]
    high, wide = image.shape[1] // grid[0], image.shape[2] // grid[1]
    for y in range(image.shape[1]):
        for x in range(image.shape[2]):
            if (y // high) * grid[1] + x // wide in blocks:
                for channel in pixels:
                    channel[y, x] = 0.0
    return torch.stack([(pixels[c] - MEAN[c]) / STD[c] for c in range(3)])


def slow_importance(model: nn.Module, image: Tensor, blocks: set[int], grid: tuple[int, int], classes: str) -> float:
    before, after = score(model, image), score(model, without(image, blocks, grid))
    decision = {
        "target": [CLASS],
        "top5": sorted(range(7), key=lambda c: -before[c])[:5],
        "all": list(range(7)),
    }[classes]
    return sum(abs(before[c] - after[c]) for c in decision) / len(decision)


def make_graph(image: Tensor, members: set[int], grid: tuple[int, int]) -> Graph:
    """Eq. 8 and 9 on the mean colors of blocks, squared differences divided by the largest of the whole picture."""
    high, wide = image.shape[1] // grid[0], image.shape[2] // grid[1]
    color = {}
    for row in range(grid[0]):
        for column in range(grid[1]):
            block = image[:, row * high : (row + 1) * high, column * wide : (column + 1) * wide]
            color[row * grid[1] + column] = [(block[c] * STD[c] + MEAN[c]).mean().item() for c in range(3)]
    squared = {}
    for node, mine in color.items():
        for other in (node + 1, node + grid[1]):
            if other in color and (other != node + 1 or other % grid[1]):
                squared[node, other] = sum((a - b) ** 2 for a, b in zip(mine, color[other], strict=True))
    graph: Graph = {node: {} for node in members}
    for (node, other), value in squared.items():
        if {node, other} <= members:
            graph[node][other] = graph[other][node] = math.exp(-BETA * value / max(squared.values()))
    return graph


def random_walk(graph: Graph, start: int, noise: Tensor, width: int) -> list[int]:
    """Algorithm 1; an edge is drawn by a race of exponential clocks, in which rates are weights."""
    left = {node: dict(edges) for node, edges in graph.items()}
    walked = [start]
    here = start
    while len(walked) < LENGTH and left[here]:
        slots = {-width: 0, -1: 1, 1: 2, width: 3}
        clocks = noise[len(walked) - 1]
        ahead = min(left[here], key=lambda node: clocks[slots[node - here]].item() / left[here][node])
        if ahead == start:
            break
        del left[here][ahead], left[ahead][here]
        here = ahead
        walked.append(here)
    return walked


def slow_level(
    model: nn.Module, image: Tensor, members: set[int], threshold: float, options: Mapping[str, str]
) -> tuple[list[list[int]], float, dict[int, float], set[int]]:
    """Algorithm 3, then eq. 12."""
    trace = observe(model, image[None])
    grid = (trace.tokens.height, trace.tokens.width)
    attention = trace.attentions[-1].weights[0, :, 0, 1:].mean(0).tolist()
    classes = options.get("classes", "target")
    graph = make_graph(image, members, grid)
    parts = connected(graph)
    crews = [max(min(50, WALKS), round(WALKS * len(part) / len(members))) for part in parts]
    noise = torch.empty(sum(crews), LENGTH - 1, 4, dtype=torch.float64)
    noise.exponential_(generator=torch.Generator().manual_seed(SEED))
    kept_walks, walker = [], 0
    known: dict[frozenset[int], float] = {}
    for part, crew in zip(parts, crews, strict=True):
        start = max(sorted(part), key=lambda node: attention[node])
        best: tuple[float, list[int]] = (-1.0, [])
        for _ in range(crew):
            walked = random_walk(graph, start, noise[walker], grid[1])
            blocks = frozenset(walked)
            if blocks not in known:
                known[blocks] = slow_importance(model, image, set(blocks), grid, classes)
            value = known[blocks]
            better = value > best[0] * (1 + 1e-6) if best[1] else True
            equal = bool(best[1]) and not better and value >= best[0] * (1 - 1e-6)
            if better or (equal and len(set(walked)) < len(set(best[1]))):
                best = (value, walked)
            walker += 1
        kept_walks.append(best[1])
    union = {node for walked in kept_walks for node in walked}
    whole = slow_importance(model, image, union, grid, classes)
    losses = {node: whole - slow_importance(model, image, union - {node}, grid, classes) for node in union}
    unit = {"max": max(losses.values()), "absolute": 1.0, "relative": whole}[options.get("scale", "max")]
    kept = {node for node in union if losses[node] / unit > threshold} or {max(losses, key=lambda node: losses[node])}
    return kept_walks, whole, losses, kept


def connected(graph: Graph) -> list[set[int]]:
    parts: list[set[int]] = []
    for node in sorted(graph):
        if not any(node in part for part in parts):
            part, border = set(), {node}
            while border:
                part |= border
                border = {other for inner in border for other in graph[inner]} - part
            parts.append(part)
    return parts


def check(level: Level, slow: tuple[list[list[int]], float, dict[int, float], set[int]]) -> None:
    walks, whole, losses, kept = slow
    assert [list(walked) for walked in level.walks] == walks
    assert level.importance == pytest.approx(whole, rel=1e-9)
    for node, loss in enumerate(level.losses.flatten().tolist()):
        assert loss == pytest.approx(losses.get(node, 0.0), rel=1e-8, abs=1e-12)
    assert set(level.kept.flatten().nonzero()[:, 0].tolist()) == kept


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("timm_vit", {}),
        ("timm_vit", {"scale": "absolute"}),
        ("timm_vit", {"scale": "relative", "classes": "top5"}),
        ("timm_vit_wide", {"classes": "all"}),
    ],
)
def test_mgrw(name: str, options: dict[str, str]) -> None:
    case = CASES[name]
    size = case.size[1:]
    coarse, images = case.model().double(), case.images().double()
    fine = Case(partial(timm_vit, size), size=case.size).model().double()
    got = make_method(
        "mgrw", walks=WALKS, length=LENGTH, seed=SEED, mean=MEAN, std=STD, fine=fine, batch_size=7, **options
    )(coarse, images, Classes((CLASS,)))
    grid = (size[0] // 8, size[1] // 8)
    for image, heatmap, reduct in zip(images, got.heatmap, got.details, strict=True):
        assert isinstance(reduct, Reduct)
        assert reduct.fine is not None
        slow = slow_level(coarse, image, set(range(grid[0] * grid[1])), 0.3, options)
        check(reduct.coarse, slow)
        children = {
            (2 * (node // grid[1]) + down) * 2 * grid[1] + 2 * (node % grid[1]) + right
            for node in slow[3]
            for down in (0, 1)
            for right in (0, 1)
        }
        _, _, losses, kept = slow = slow_level(fine, image, children, 0.2, options)
        check(reduct.fine, slow)
        assert kept <= children
        largest = max(losses[node] for node in kept)
        for node, weight in enumerate(heatmap.flatten().tolist()):
            assert weight == pytest.approx(losses[node] / largest if node in kept else 0.0, rel=1e-8)


def timm_vit(size: tuple[int, ...]) -> nn.Module:
    return timm.create_model("vit_tiny_patch16_224", **{**TINY, "img_size": size, "patch_size": 4})
