"""Each method again, from its paper's equations with loops in float64, on a Vision Transformer written the same way."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from tests.contract.zoo import CASES
from tests.reference.vit import slow_vit
from vitreous.methods import make_method
from vitreous.methods.ag_cam import skip_path_rows
from vitreous.trace.stream import follow_stream
from vitreous.trace.target import Classes

CLASS = 4


@pytest.fixture(params=["timm_vit", "timm_vit_unfused"])
def model(request: pytest.FixtureRequest) -> nn.Module:
    return CASES[request.param].model().double()


@pytest.fixture
def image() -> Tensor:
    return CASES["timm_vit"].images(1).double()


def heatmap(name: str, model: nn.Module, image: Tensor, **settings: object) -> Tensor:
    return make_method(name, **settings)(model, image, Classes((CLASS,))).heatmap[0]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def close(got: Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64).view(4, 4), rtol=1e-9, atol=1e-12)


def test_the_slow_model_is_the_model(model: nn.Module, image: Tensor) -> None:
    slow = slow_vit(model, image[0], skip_path_only=False)
    torch.testing.assert_close(slow.logits, model(image)[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_ag_cam(model: nn.Module, image: Tensor, scale: float) -> None:
    """The scale is 4 of heads of width 16 where QKᵀ is not divided, as the paper prints it."""
    slow = slow_vit(model, image[0], skip_path_only=True)
    gradients = torch.autograd.grad(slow.logits[CLASS], slow.weights)
    expected = [0.0] * 16
    for scores, gradient in zip(slow.scores, gradients, strict=True):
        for head in range(2):
            for patch in range(16):
                slope = gradient[head, 0, 1 + patch].item()
                expected[patch] += max(0.0, slope) * sigmoid(scale * scores[head, 0, 1 + patch].item())
    close(heatmap("ag_cam", model, image, scale=scale), expected)


def test_ag_cam_by_the_recurrence_of_their_equation_5(image: Tensor) -> None:
    """β_k = β_{k+1}·(I + J_MLP), α_k[j] = v_k[j]·(W_Oᵀ β_k): the closed form, one token, written out."""
    model = CASES["timm_vit"].model().double()
    trace_inputs: dict[str, Tensor] = {}
    handles = [
        block.norm2.register_forward_pre_hook(lambda _, args, at=at: trace_inputs.__setitem__(f"x{at}", args[0]))
        for at, block in enumerate(model.blocks)
    ]
    handles += [
        block.attn.qkv.register_forward_hook(lambda _, __, out, at=at: trace_inputs.__setitem__(f"qkv{at}", out))
        for at, block in enumerate(model.blocks)
    ]
    model(image)
    for handle in handles:
        handle.remove()

    stream = follow_stream(model, image)
    direction = torch.zeros_like(stream.logits)
    direction[0, CLASS] = 1
    rows = skip_path_rows(model, image, stream, direction)
    beta: Tensor | None = None
    for at in reversed(range(3)):
        block = model.blocks[at]
        token = trace_inputs[f"x{at}"][0, 0].detach().requires_grad_()
        after = token + block.mlp(block.norm2(token))
        end = model.head(model.norm(after))[CLASS] if beta is None else after @ beta
        (beta,) = torch.autograd.grad(end, token)
        values = trace_inputs[f"qkv{at}"][0].reshape(17, 3, 2, 16)[:, 2].detach()
        per_head = (block.attn.proj.weight.T @ beta).detach().reshape(2, 16)
        alpha = torch.stack([values[:, head] @ per_head[head] for head in range(2)])
        torch.testing.assert_close(rows[at][1][0, :, 0], alpha, rtol=1e-9, atol=1e-13)


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("readout", ["class", "mean"])
def test_rollout(image: Tensor, start: int, readout: str) -> None:
    model = CASES["timm_vit" if readout == "class" else "timm_vit_mean"].model().double()
    product = torch.eye(17).double()
    weights = _weights(model, image)
    for layer in weights[start:]:
        mean = sum(layer[head] for head in range(2)) / 2
        half = (mean + torch.eye(17).double()) / 2
        product = half @ product
    row = product[0] if readout == "class" else sum(product[1 + at] for at in range(16)) / 16
    close(heatmap("rollout", model, image, start_layer=start, readout=readout), row[1:].tolist())


def _weights(model: nn.Module, image: Tensor) -> list[Tensor]:
    if hasattr(model, "fc_norm") and not isinstance(model.fc_norm, nn.Identity):
        model.norm = nn.LayerNorm(32).double()  # the slow model ends with a norm; a pooling model has it after the pool
    return [layer.detach() for layer in slow_vit(model, image[0], skip_path_only=False).weights]


def test_raw_attention(model: nn.Module, image: Tensor) -> None:
    last = slow_vit(model, image[0], skip_path_only=False).weights[-1].detach()
    expected = [(last[0, 0, 1 + patch] + last[1, 0, 1 + patch]).item() / 2 for patch in range(16)]
    close(heatmap("raw_attention", model, image), expected)


@pytest.mark.parametrize("of_scores", ["softmax", "sigmoid"])
def test_attention_of_all_layers_as_ag_cam_draws_it(model: nn.Module, image: Tensor, of_scores: str) -> None:
    slow = slow_vit(model, image[0], skip_path_only=False)
    expected = [0.0] * 16
    for weights, scores in zip(slow.weights, slow.scores, strict=True):
        for head in range(2):
            for patch in range(16):
                at = head, 0, 1 + patch
                value = weights[at].item() if of_scores == "softmax" else sigmoid(scores[at].item())
                expected[patch] += value / (2 * len(slow.weights))
    close(heatmap("raw_attention", model, image, layers="all", of_scores=of_scores), expected)


def test_attention_grad_cam(model: nn.Module, image: Tensor) -> None:
    slow = slow_vit(model, image[0], skip_path_only=False)
    target = next(c for c in range(7) if any(x > 0 for x in _slow_grad_cam(slow.logits[c], slow.weights[-1])))
    expected = _slow_grad_cam(slow.logits[target], slow.weights[-1])
    close(make_method("attention_grad_cam")(model, image, Classes((target,))).heatmap[0], expected)


def _slow_grad_cam(logit: Tensor, last: Tensor) -> list[float]:
    (gradient,) = torch.autograd.grad(logit, last, retain_graph=True)
    importance = [sum(gradient[head, 0, 1 + at].item() for at in range(16)) / 16 for head in range(2)]
    maps = [sum(importance[h] * last[h, 0, 1 + at].item() for h in range(2)) / 2 for at in range(16)]
    return [max(0.0, value) for value in maps]
