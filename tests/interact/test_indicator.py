from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.contract.zoo import CASES
from vitreous.interact.indicator import (
    between_patches,
    discriminativeness,
    entropy,
    impact,
    importance,
    interactions,
    received,
)
from vitreous.interact.responsive_fields import attention_distance, responsive_fields, shape_of
from vitreous.trace.observe import observe
from vitreous.trace.observed import TokenGrid

GRID = TokenGrid(1, 4, 4)


def test_uniform_attention() -> None:
    strength = between_patches(torch.full((2, 3, 17, 17), 1 / 17), GRID).mean(1)
    torch.testing.assert_close(strength, torch.ones_like(strength))
    assert discriminativeness(strength).abs().max() < 1e-6
    torch.testing.assert_close(entropy(strength), torch.ones(2, 16))
    fields = responsive_fields(strength, GRID)
    assert (fields.sum(-1) == 8).all()
    shape = shape_of(fields, strength, GRID)
    assert shape.tendency[0, 0].min() > 0, "a corner leans inwards"
    odd = TokenGrid(0, 5, 5)
    even = torch.ones(25, 25)
    center = shape_of(responsive_fields(even, odd, 0.36), even, odd)
    torch.testing.assert_close(center.tendency[12], torch.zeros(2))
    assert attention_distance(strength, GRID)[0, 0] > attention_distance(strength, GRID)[0, 5]


def test_attention_to_one_patch_each() -> None:
    other = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    weights = torch.zeros(1, 2, 17, 17)
    weights[..., 0, 0] = 1
    weights[..., torch.arange(16) + 1, other + 1] = 1
    strength = between_patches(weights, GRID).mean(1)[0]
    expected = torch.zeros(16, 16)
    expected[torch.arange(16), other] = 16
    torch.testing.assert_close(strength, expected)
    assert entropy(strength).abs().max() == 0
    fields = responsive_fields(strength, GRID)
    for query in range(16):
        assert fields[query].nonzero().flatten().tolist() == sorted({query, int(other[query])})
    rows, columns = torch.arange(16) // 4, torch.arange(16) % 4
    leap = torch.stack([rows[other] - rows, columns[other] - columns], 1).float()
    shape = shape_of(fields, strength, GRID)
    torch.testing.assert_close(shape.tendency, leap)
    torch.testing.assert_close(shape.radius, leap.norm(dim=1))


def test_keys_that_all_use_alike_are_indiscriminative() -> None:
    strength = torch.rand(1, 16).expand(16, 16)
    assert discriminativeness(strength).abs().max() < 1e-6
    assert received(strength).std() > 0.1


@pytest.mark.parametrize(
    "case", ["timm_vit", "timm_deit_distilled", "timm_vit_registers_mean", "hf_vit_eager", "torch_encoder"]
)
def test_a_model_gives_what_its_attention_says(case: str) -> None:
    model, images = CASES[case].model(), CASES[case].images()
    found, trace = interactions(model, images), observe(model, images)
    prefix = trace.tokens.extra
    for block, attention in enumerate(trace.global_attentions):
        patches = attention.weights[:, :, prefix:, prefix:].detach()
        scaled = 16 * patches / patches.sum(-1, keepdim=True)
        torch.testing.assert_close(found.strength[:, block], scaled.mean(1), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found.uncertainty[:, block], scaled.std(1, correction=0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.logits, trace.logits.detach())
    torch.testing.assert_close(received(found.strength).mean(-1), torch.ones(2, len(trace.global_attentions)))


def test_impact_is_the_derivative_of_scaling_an_interaction() -> None:
    case = CASES["timm_vit_unfused"]
    model, images = case.model().double(), case.images(1).double()
    found = impact(model, images)
    scale = torch.ones(17, 17, dtype=torch.float64)

    def scaled(block: int) -> Tensor:
        def hook(_: object, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (args[0] * scale,)

        handle = model.blocks[block].attn.attn_drop.register_forward_pre_hook(hook)
        try:
            with torch.no_grad():
                return model(images)[0]
        finally:
            handle.remove()

    best = int(scaled(0).argmax())
    for block, query, key in ((0, 3, 7), (1, 0, 0), (2, 15, 2)):
        scores: list[Tensor] = []
        for factor in (1 + 1e-5, 1 - 1e-5):
            scale[query + 1, key + 1] = factor
            scores.append(scaled(block)[best])
        scale[query + 1, key + 1] = 1
        slope = (scores[0] - scores[1]).abs() / 2e-5
        torch.testing.assert_close(found[0, block, query, key], slope, rtol=1e-4, atol=1e-9)


def test_what_a_patch_matters_is_what_all_tokens_take_from_it() -> None:
    model, images = CASES["timm_vit"].model().double(), CASES["timm_vit"].images().double()
    trace = observe(model, images)
    direction = torch.nn.functional.one_hot(trace.logits.argmax(1), 7).double()
    taken = torch.zeros(len(images), 16, dtype=torch.float64)
    for attention, slope in zip(trace.attentions, trace.gradients(direction), strict=True):
        for at in range(16):
            taken[:, at] += (attention.weights * slope)[..., at + 1].detach().sum((1, 2))
    torch.testing.assert_close(importance(model, images), taken)
