"""Input × gradient under changed backward rules: a ViT token by token, with what a method holds constant detached."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from tests.contract.zoo import CASES
from tests.reference.vit import gelu, layer_norm, slow_vit
from vitreous.methods import make_method
from vitreous.relevance.gradient_rules import gamma
from vitreous.relevance.rule import Operation
from vitreous.trace.target import Classes

CLASS = 4


@dataclass
class Rules:
    """What a method holds constant."""

    attention: bool
    activation: bool
    halves: bool = False
    softmaxes: list[tuple[Tensor, Tensor]] = field(default_factory=list)


METHODS = {
    "cp_lrp": Rules(attention=True, activation=False),
    "decompx": Rules(attention=True, activation=True),
    "libra_grad": Rules(attention=True, activation=True),
    "attn_lrp": Rules(attention=False, activation=True, halves=True),
}


def norm(token: Tensor, layer: nn.LayerNorm) -> Tensor:
    deviation = token - token.mean()
    sigma = (deviation.square().mean() + layer.eps).sqrt().detach()
    return deviation / sigma * layer.weight + layer.bias


def activation(x: Tensor, rules: Rules) -> Tensor:
    return x * (gelu(x) / x).detach() if rules.activation else gelu(x)


def half(x: Tensor) -> Tensor:
    """The same number, with half its gradient."""
    return x / 2 + (x / 2).detach()


def product(x: Tensor, rules: Rules) -> Tensor:
    return half(x) if rules.halves else x


def slow_logits(model: nn.Module, image: Tensor, rules: Rules) -> Tensor:
    patch, heads = model.patch_embed.patch_size[0], model.blocks[0].attn.num_heads
    kernel, bias = model.patch_embed.proj.weight, model.patch_embed.proj.bias
    tokens = [model.cls_token[0, 0]]
    for top in range(0, image.shape[1], patch):
        for left in range(0, image.shape[2], patch):
            tokens.append((kernel * image[:, top : top + patch, left : left + patch]).sum((1, 2, 3)) + bias)
    tokens = [token + position for token, position in zip(tokens, model.pos_embed[0], strict=True)]
    for block in model.blocks:
        rows = [(block.attn.qkv.weight @ norm(token, block.norm1) + block.attn.qkv.bias) for token in tokens]
        split = [row.reshape(3, heads, -1) for row in rows]
        width = len(tokens[0]) // heads
        mixed: list[list[Tensor]] = [[] for _ in tokens]
        for head in range(heads):
            for at in range(len(tokens)):
                scores = torch.stack([product((split[at][0, head] * other[1, head]).sum(), rules) for other in split])
                scores = scores / width**0.5
                weights = scores.softmax(0)
                if rules.attention:
                    weights = weights.detach()
                else:
                    rules.softmaxes.append((scores, weights))
                mixed[at].append(
                    product(sum(w * other[2, head] for w, other in zip(weights, split, strict=True)), rules)
                )
        for at, token in enumerate(tokens):
            attended = token + block.attn.proj.weight @ torch.cat(mixed[at]) + block.attn.proj.bias
            hidden = activation(block.mlp.fc1.weight @ norm(attended, block.norm2) + block.mlp.fc1.bias, rules)
            tokens[at] = attended + block.mlp.fc2.weight @ hidden + block.mlp.fc2.bias
    return model.head.weight @ norm(tokens[0], model.norm) + model.head.bias


def patch_sums(pixels: Tensor) -> Tensor:
    rows = [
        [pixels[:, top : top + 8, left : left + 8].sum() for left in range(0, pixels.shape[2], 8)]
        for top in range(0, pixels.shape[1], 8)
    ]
    return torch.stack([torch.stack(row) for row in rows])


@pytest.mark.parametrize("model_name", ["timm_vit", "timm_vit_unfused"])
@pytest.mark.parametrize("name", METHODS)
def test_maps_and_completeness_with_biases(name: str, model_name: str) -> None:
    model, images = CASES[model_name].model().double(), CASES[model_name].images(1).double()
    explanation = make_method(name)(model, images, Classes((CLASS,)))

    rules, image = METHODS[name], images[0].requires_grad_()
    rules.softmaxes.clear()
    logits = slow_logits(model, image, rules)
    torch.testing.assert_close(logits, model(images)[0], rtol=1e-9, atol=1e-12)
    constants = [p for key, p in model.named_parameters() if "bias" in key or key in ("pos_embed", "cls_token")]
    inner = [tensor for pair in rules.softmaxes for tensor in pair]
    slopes = torch.autograd.grad(logits[CLASS], [image, *constants, *inner], materialize_grads=True)
    heatmap = patch_sums(image * slopes[0])
    torch.testing.assert_close(explanation.heatmap[0], heatmap.detach(), rtol=1e-9, atol=1e-12)

    if name != "cp_lrp":  # its activations keep their own gradient
        shares = [(x * slope).sum() for x, slope in zip([image, *constants, *inner], slopes, strict=True)]
        count = 1 + len(constants)
        curvature = sum(shares[count + 1 :: 2]) - sum(shares[count::2])  # of softmax: weights less scores
        torch.testing.assert_close(sum(shares[:count]) + curvature, logits[CLASS], rtol=1e-9, atol=1e-12)


def test_input_x_gradient() -> None:
    model, images = CASES["timm_vit"].model().double(), CASES["timm_vit"].images(1).double()
    image = images[0].requires_grad_()
    (slope,) = torch.autograd.grad(slow_vit(model, image, skip_path_only=False).logits[CLASS], image)
    got = make_method("input_x_gradient")(model, images.detach(), Classes((CLASS,))).heatmap[0]
    torch.testing.assert_close(got, patch_sums(image * slope).detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("quadrature", "shift"), [("right", 0.0), ("midpoint", 0.5)])
def test_integrated_gradients(quadrature: str, shift: float) -> None:
    model, images = CASES["timm_vit"].model().double(), CASES["timm_vit"].images(1).double()
    total, start = torch.zeros_like(images[0]), torch.full_like(images[0], -0.5 / 0.25)  # black
    for k in (1, 2, 3):
        at = (start + (k - shift) / 3 * (images[0] - start)).requires_grad_()
        total += torch.autograd.grad(slow_vit(model, at, skip_path_only=False).logits[CLASS], at)[0] / 3
    settings = {"mean": (0.5,) * 3, "std": (0.25,) * 3, "quadrature": quadrature}
    got = make_method("integrated_gradients", steps=3, **settings)(model, images, Classes((CLASS,))).heatmap[0]
    torch.testing.assert_close(got, patch_sums((images[0] - start) * total), rtol=1e-9, atol=1e-12)


def test_the_slow_norm_is_the_norm() -> None:
    layer, token = nn.LayerNorm(5).double(), torch.randn(5).double()
    torch.testing.assert_close(norm(token, layer), layer_norm(token, layer))


@pytest.mark.parametrize("with_bias", [True, False])
def test_gamma(with_bias: bool) -> None:
    """R_i = Σ_j (z_ij + γ z_ij^±) / (z_j + γ Σ_k z_kj^±) R_j, ± the sign of z_j, one number after the other."""
    generator = torch.Generator().manual_seed(0)
    x, weight, slope = (torch.randn(*size, generator=generator).double() for size in ((2, 5), (4, 5), (2, 4)))
    bias = torch.randn(4, generator=generator).double() if with_bias else None
    result = nn.functional.linear(x, weight, bias)
    expected = torch.zeros_like(x)
    for row in range(2):
        for out in range(4):
            parts = [x[row, i].item() * weight[out, i].item() for i in range(5)]
            parts += [bias[out].item()] if bias is not None else []
            positive = bool(result[row, out] > 0)
            more = [part * (1 + 0.3 * ((part > 0) == positive)) for part in parts]
            relevance = slope[row, out] * result[row, out]
            expected[row] += torch.tensor(more[:5], dtype=torch.float64) / sum(more) * relevance
    (got, _, _) = gamma(Operation((x, weight, bias), result, nn.functional.linear), slope, 0.3)
    torch.testing.assert_close(x * got, expected, rtol=1e-12, atol=1e-12)
