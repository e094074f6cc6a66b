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
Options = Mapping[str, str | bool]
Regions = list[set[int]]
Found = tuple[list[list[int]], float, dict[int, float], set[int]]


def score(model: nn.Module, image: Tensor) -> list[float]:
    with torch.no_grad():
        logits = model(image[None])[0].tolist()
    total = sum(math.exp(logit) for logit in logits)
    return [math.exp(logit) / total for logit in logits]


def without(image: Tensor, blocks: set[int], grid: tuple[int, int]) -> Tensor:
    """Black where the blocks are, before normalisation."""
    pixels = [image[c] * STD[c] + MEAN[c] for c in range(3)]
    high, wide = image.shape[1] // grid[0], image.shape[2] // grid[1]
    for block in blocks:
        top, left = block // grid[1] * high, block % grid[1] * wide
        for channel in pixels:
            channel[top : top + high, left : left + wide] = 0.0
    return torch.stack([(pixels[c] - MEAN[c]) / STD[c] for c in range(3)])


def slow_importance(
    model: nn.Module, image: Tensor, blocks: set[int], *, grid: tuple[int, int], options: Options, unseen: set[int]
) -> float:
    """Eq. 10 and 11; with the context "reduct" the model sees nothing but the coarse blocks that stay."""
    always = unseen if options.get("context") == "reduct" else set()
    before, after = (score(model, without(image, hidden, grid)) for hidden in (always, blocks | always))
    decision = {
        "target": [CLASS],
        "top5": sorted(range(7), key=lambda c: -before[c])[:5],
        "all": list(range(7)),
    }[str(options.get("classes", "target"))]
    return sum(abs(before[c] - after[c]) for c in decision) / len(decision)


def slow_attention(model: nn.Module, image: Tensor, kind: str) -> tuple[list[float], tuple[int, int]]:
    """M_s of eq. 7: the class token's row, heads averaged; of the last layer, of all, or of their product."""
    trace = observe(model, image[None])
    grid = (trace.tokens.height, trace.tokens.width)
    means = [attention.weights[0].mean(0) for attention in trace.attentions]
    if kind == "last":
        return means[-1][0, 1:].tolist(), grid
    if kind == "mean":
        return [sum(mean[0, 1 + at].item() for mean in means) / len(means) for at in range(grid[0] * grid[1])], grid
    product = torch.eye(len(means[0]), dtype=image.dtype)
    for mean in means:
        skipping = mean + torch.eye(len(mean), dtype=image.dtype)
        product = torch.stack([row / row.sum() for row in skipping]) @ product
    return product[0, 1:].tolist(), grid


def make_graph(image: Tensor, regions: Regions, grid: tuple[int, int]) -> Graph:
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
    graph: Graph = {node: {} for region in regions for node in region}
    for (node, other), value in squared.items():
        if any({node, other} <= region for region in regions):
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
    model: nn.Module,
    image: Tensor,
    regions: Regions,
    threshold: float,
    *,
    options: Options,
    attention: tuple[list[float], tuple[int, int]],
) -> Found:
    """Algorithm 3, then eq. 12."""
    looks, grid = attention
    members = set().union(*regions)
    unseen = set(range(grid[0] * grid[1])) - members
    graph = make_graph(image, regions, grid)
    parts = connected(graph)
    crews = [max(min(50, WALKS), round(WALKS * len(part) / len(members))) for part in parts]
    noise = torch.empty(sum(crews), LENGTH - 1, 4, dtype=torch.float64)
    noise.exponential_(generator=torch.Generator().manual_seed(SEED))
    kept_walks, walker = [], 0
    known: dict[frozenset[int], float] = {}

    def important(blocks: set[int]) -> float:
        if frozenset(blocks) not in known:
            known[frozenset(blocks)] = slow_importance(model, image, blocks, grid=grid, options=options, unseen=unseen)
        return known[frozenset(blocks)]

    for part, crew in zip(parts, crews, strict=True):
        start = max(sorted(part), key=lambda node: looks[node])
        best: tuple[float, list[int]] = (-1.0, [])
        for _ in range(crew):
            walked = random_walk(graph, start, noise[walker], grid[1])
            value = important(set(walked))
            better = value > best[0] * (1 + 1e-6) if best[1] else True
            equal = bool(best[1]) and not better and value >= best[0] * (1 - 1e-6)
            if better or (equal and len(set(walked)) < len(set(best[1]))):
                best = (value, walked)
            walker += 1
        kept_walks.append(best[1])
    union = {node for walked in kept_walks for node in walked}
    whole = important(union)
    losses = {node: whole - important(union - {node}) for node in union}
    unit = {"max": max(losses.values()), "absolute": 1.0, "relative": whole}[str(options.get("scale", "max"))]
    kept = {node for node in union if losses[node] / unit > threshold}
    if options.get("sequential"):
        kept, losses = set(union), dict(losses)
        for node in sorted(union, key=lambda node: (losses[node], node)):
            losses[node] = important(kept) - important(kept - {node})
            kept -= set() if losses[node] / unit > threshold else {node}
    return kept_walks, whole, losses, kept or {max(losses, key=lambda node: losses[node])}


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


def check(level: Level, slow: Found) -> None:
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
        pytest.param("timm_vit", {"scale": "absolute", "context": "reduct"}, marks=pytest.mark.slow),
        ("timm_vit", {"scale": "relative", "classes": "top5", "sequential": True}),
        pytest.param("timm_vit_wide", {"classes": "all"}, marks=pytest.mark.slow),
        pytest.param("timm_vit_wide", {"attention": "rollout", "fine_graph": "blocks"}, marks=pytest.mark.slow),
        ("timm_vit_wide", {"attention": "mean", "fine": "same", "context": "reduct", "sequential": True}),
    ],
)
def test_mgrw(name: str, options: dict[str, str | bool]) -> None:
    case = CASES[name]
    size = case.size[1:]
    coarse, images = case.model().double(), case.images().double()
    same = options.get("fine") == "same"
    fine = coarse if same else Case(partial(timm_vit, size), size=case.size).model().double()
    settings = {"mean": MEAN, "std": STD, "fine": fine, "batch_size": 7, **options}
    got = make_method("mgrw", walks=WALKS, length=LENGTH, seed=SEED, **settings)(coarse, images, Classes((CLASS,)))
    grid = (size[0] // 8, size[1] // 8)
    for image, heatmap, reduct in zip(images, got.heatmap, got.details, strict=True):
        assert isinstance(reduct, Reduct)
        assert reduct.fine is not None
        looks, found = slow_attention(coarse, image, str(options.get("attention", "last")))
        assert found == grid
        everywhere = [set(range(grid[0] * grid[1]))]
        slow = slow_level(coarse, image, everywhere, 0.3, options=options, attention=(looks, grid))
        check(reduct.coarse, slow)
        children = {
            node: {
                (2 * (node // grid[1]) + down) * 2 * grid[1] + 2 * (node % grid[1]) + right
                for down in (0, 1)
                for right in (0, 1)
            }
            for node in range(grid[0] * grid[1])
        }
        stay = [children[node] for node in sorted(slow[3])]
        regions = stay if options.get("fine_graph") == "blocks" else [set().union(*stay)]
        if same:
            halves = {child: looks[node] for node, four in children.items() for child in four}
            attention = [halves[child] for child in sorted(halves)], (2 * grid[0], 2 * grid[1])
        else:
            attention = slow_attention(fine, image, str(options.get("attention", "last")))
        _, _, losses, kept = slow = slow_level(fine, image, regions, 0.2, options=options, attention=attention)
        check(reduct.fine, slow)
        assert kept <= set().union(*stay)
        largest = max(losses[node] for node in kept)
        for node, weight in enumerate(heatmap.flatten().tolist()):
            assert weight == pytest.approx(losses[node] / largest if node in kept else 0.0, rel=1e-8)


def timm_vit(size: tuple[int, ...]) -> nn.Module:
    return timm.create_model("vit_tiny_patch16_224", **{**TINY, "img_size": size, "patch_size": 4})
