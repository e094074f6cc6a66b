"""The attention methods since Chefer and the baselines, from their equations with loops in float64."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from torch import Tensor, nn

from tests.contract.zoo import CASES
from tests.reference.vit import slow_vit
from vitreous.methods import make_method
from vitreous.trace.target import Classes

CLASS, TOKENS, PATCHES = 4, 17, range(1, 17)


@pytest.fixture(params=["timm_vit", "timm_vit_unfused"])
def model(request: pytest.FixtureRequest) -> nn.Module:
    return CASES[request.param].model().double()


@pytest.fixture
def image() -> Tensor:
    return CASES["timm_vit"].images(1).double()


def heatmap(name: str, model: nn.Module, image: Tensor, **settings: object) -> Tensor:
    return make_method(name, **settings)(model, image, Classes((CLASS,))).heatmap[0]


def close(got: Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64).view(4, 4), rtol=1e-9, atol=1e-14)


@functools.cache
def weights_and_gradients() -> tuple[list[Tensor], list[Tensor]]:
    """Of both models: they have the same weights."""
    slow = slow_vit(CASES["timm_vit"].model().double(), CASES["timm_vit"].images(1)[0].double(), skip_path_only=False)
    gradients = torch.autograd.grad(slow.logits[CLASS], slow.weights)
    return [layer.detach() for layer in slow.weights], list(gradients)


def relu(x: float) -> float:
    return max(0.0, x)


@pytest.mark.parametrize("start", [0, 2])
@pytest.mark.parametrize("readout", ["class", "mean"])
def test_generic_attention(image: Tensor, start: int, readout: str) -> None:
    name = "timm_vit" if readout == "class" else "timm_vit_mean"
    model = CASES[name].model().double()
    weights, gradients = _observed(model, image) if readout == "mean" else weights_and_gradients()
    relevance = torch.eye(TOKENS).double()
    for a, g in zip(weights[start:], gradients[start:], strict=True):
        mean = sum((g[head] * a[head]).clamp(min=0) for head in range(2)) / 2
        relevance = relevance + mean @ relevance
    row = relevance[0] if readout == "class" else sum(relevance[at] for at in PATCHES) / 16
    close(heatmap("generic_attention", model, image, start_layer=start, readout=readout), row[1:].tolist())


def _observed(model: nn.Module, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """For a head that the slow model does not have: attention by the model's own unfused code."""
    kept: list[Tensor] = []
    for block in model.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda _, __, weights: kept.append(weights))
    logits = model(image)
    gradients = torch.autograd.grad(logits[0, CLASS], kept)
    for block in model.blocks:
        block.attn.attn_drop._forward_hooks.clear()
    return [layer[0].detach() for layer in kept], [gradient[0] for gradient in gradients]


@functools.cache
def slow_feedback(steps: int) -> list[float]:
    """Class-token row of the last gradient: mean over α, positive part, mean over heads."""
    model, image = CASES["timm_vit"].model().double(), CASES["timm_vit"].images(1).double()
    total = torch.zeros(2, TOKENS, TOKENS).double()
    for step in range(steps):
        slow = slow_vit(model, image[0] * (step / (steps - 1)), skip_path_only=False)
        total += torch.autograd.grad(slow.logits[CLASS], slow.weights[-1])[0]
    return [sum(relu(total[head, 0, at].item() / steps) for head in range(2)) / 2 for at in range(TOKENS)]


@pytest.mark.parametrize("start", [None, 0, 2])
def test_tam(image: Tensor, start: int | None) -> None:
    model = CASES["timm_vit"].model().double()
    weights, _ = weights_and_gradients()
    means = [(a[0] + a[1]) / 2 for a in weights]
    state = means[-1][0]
    for layer in range(1, (1 if start is None else start) - 1, -1):  # a third of three layers is left out: layer 0
        state = state @ means[layer] + state
    answer = slow_feedback(4)
    got = heatmap("tam", model, image, steps=4, start_layer=start)
    close(got, [state[at].item() * answer[at] for at in PATCHES])


@pytest.mark.parametrize("start", [None, 1])
def test_bt_head(image: Tensor, start: int | None) -> None:
    model = CASES["timm_vit"].model().double()
    weights, gradients = weights_and_gradients()
    relevance = torch.eye(TOKENS).double()
    for a, g in list(zip(weights, gradients, strict=True))[start or 0 :]:
        importance = []
        for attended, slope in zip(a.tolist(), g.tolist(), strict=True):
            product = [
                [sum(attended[k][i] * slope[k][j] for k in range(TOKENS)) for j in range(TOKENS)] for i in range(TOKENS)
            ]
            importance.append(sum(abs(x) for row in product for x in row) / TOKENS**2)
        mixed = sum(importance[head] / sum(importance) * a[head] for head in range(2))
        relevance = relevance + mixed @ relevance
    answer = slow_feedback(4)
    got = heatmap("bt_head", model, image, steps=4, start_layer=start)
    close(got, [relevance[0, at].item() * answer[at] for at in PATCHES])


@pytest.mark.parametrize("tokens", ["before", "after"])
def test_attcat(model: nn.Module, image: Tensor, tokens: str) -> None:
    weights, _ = weights_and_gradients()
    states = _states(model, image)
    kept = states[:-1] if tokens == "before" else states[1:]
    expected = [0.0] * 16
    for layer, state in enumerate(kept):
        leaf = state.detach().requires_grad_()
        first = layer if tokens == "before" else layer + 1
        (slope,) = torch.autograd.grad(_rest(model, leaf, first)[CLASS], leaf)
        for patch in PATCHES:
            received = sum(weights[layer][head, row, patch].item() for head in range(2) for row in range(TOKENS))
            activation = sum((slope[patch, d] * leaf[patch, d]).item() for d in range(32))
            expected[patch - 1] += received / (2 * TOKENS) * activation
    close(heatmap("attcat", model, image, tokens=tokens), expected)


@pytest.mark.parametrize("start", [0, 1])
def test_legrad(model: nn.Module, image: Tensor, start: int) -> None:
    states = _states(model, image)
    expected = [0.0] * 16
    for layer in range(start, 3):
        after, weights = _slow_block(model.blocks[layer], states[layer].detach())
        mean = sum(after[token] for token in range(TOKENS)) / TOKENS
        (gradient,) = torch.autograd.grad(model.head(model.norm(mean))[CLASS], weights)
        for patch in PATCHES:
            total = sum(relu(gradient[head, row, patch].item()) for head in range(2) for row in range(TOKENS))
            expected[patch - 1] += total / (2 * TOKENS)
    close(heatmap("legrad", model, image, start_layer=start), expected)


def _states(model: nn.Module, image: Tensor) -> list[Tensor]:
    """The tokens before every block, and after the last."""
    tokens = torch.cat([model.cls_token[0], model.patch_embed(image)[0]]) + model.pos_embed[0]
    states = [tokens]
    for block in model.blocks:
        states.append(_slow_block(block, states[-1])[0])
    return states


def _slow_block(block: nn.Module, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """One block, and its attention weights."""
    heads = block.attn.num_heads
    query, key, value = block.attn.qkv(block.norm1(tokens)).reshape(TOKENS, 3, heads, -1).permute(1, 2, 0, 3)
    weights = (query @ key.mT * block.attn.scale).softmax(-1)
    middle = tokens + block.attn.proj((weights @ value).permute(1, 0, 2).flatten(1))
    return middle + block.mlp(block.norm2(middle)), weights


def _rest(model: nn.Module, tokens: Tensor, first: int) -> Tensor:
    for block in model.blocks[first:]:
        tokens, _ = _slow_block(block, tokens)
    return model.head(model.norm(tokens[0]))


def test_center_gaussian(image: Tensor) -> None:
    model = CASES["timm_vit"].model().double()
    expected = []
    for row in range(4):
        for column in range(4):
            x, y = (column + 0.5) / 4 - 0.5, (row + 0.5) / 4 - 0.5
            expected.append(math.exp(-(x * x + y * y) / (2 * 0.3**2)))
    close(heatmap("center_gaussian", model, image, sigma=0.3), expected)


def test_edges(image: Tensor) -> None:
    model = CASES["timm_vit"].model().double()
    gray = (image[0, 0] + image[0, 1] + image[0, 2]) / 3

    def at(y: int, x: int) -> float:
        return gray[min(max(y, 0), 31), min(max(x, 0), 31)].item()

    expected = [0.0] * 16
    for y in range(32):
        for x in range(32):
            across = sum(k * (at(y + dy, x + 1) - at(y + dy, x - 1)) for dy, k in ((-1, 1), (0, 2), (1, 1)))
            down = sum(k * (at(y + 1, x + dx) - at(y - 1, x + dx)) for dx, k in ((-1, 1), (0, 2), (1, 1)))
            expected[y // 8 * 4 + x // 8] += math.hypot(across, down) / 64
    close(heatmap("edges", model, image), expected)


class TestRandom:
    """Each picture's own noise."""

    def test_pictures_and_seeds_differ(self) -> None:
        model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
        first, other = make_method("random")(model, images), make_method("random", seed=1)(model, images)
        assert not torch.equal(first.heatmap[0], first.heatmap[1])
        assert not torch.equal(first.heatmap, other.heatmap)

    def test_it_is_uniform(self) -> None:
        model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images(64)
        values = make_method("random", grid=32)(model, images).heatmap.flatten()
        assert values.min() >= 0
        assert values.max() < 1
        counts = values.histc(10, 0, 1) / len(values)
        assert (counts - 0.1).abs().max() < 0.01


@pytest.mark.parametrize("name", ["random", "center_gaussian", "edges"])
@pytest.mark.parametrize(
    ("case", "grid", "expected"),
    [
        ("timm_vit_wide", None, (3, 5)),
        ("timm_resnet", None, (14, 14)),
        ("timm_swin", None, (16, 16)),
        ("timm_vit", 7, (7, 7)),
    ],
)
def test_grids_of_baselines(name: str, case: str, grid: int | None, expected: tuple[int, int]) -> None:
    model, images = CASES[case].model(), CASES[case].images()
    assert make_method(name, grid=grid)(model, images).heatmap.shape[1:] == expected


@pytest.mark.parametrize("start", [None, 0, 2])
def test_bt_token(model: nn.Module, image: Tensor, start: int | None) -> None:
    weights, _ = weights_and_gradients()
    states = _states(model, image)
    relevance = torch.eye(TOKENS).double()
    for layer in range(1 if start is None else start, 3):
        block, before = model.blocks[layer], states[layer]
        values = block.attn.qkv(block.norm1(before))[:, 64:]  # heads side by side, as the projection takes them
        passed = [(block.attn.proj.weight @ values[at]).norm() / before[at].norm() for at in range(TOKENS)]
        mean = (weights[layer][0] + weights[layer][1]) / 2
        relevance = relevance + mean @ torch.diag(torch.stack(passed)).detach() @ relevance
    answer = slow_feedback(4)
    got = heatmap("bt_token", model, image, steps=4, start_layer=start)
    close(got, [relevance[0, at].item() * answer[at] for at in PATCHES])
