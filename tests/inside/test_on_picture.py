"""What a page shows of a model's inside: the numbers that each question gives alone, by a few passes; or why not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import vitreous
from tests.contract.zoo import CASES
from tests.inside.test_artifact_effects import spoiled
from tests.quick import quick
from vitreous.inside.on_picture import inside_of
from vitreous.models.zoo import describe
from vitreous.render.inside import Colors, Heads, Inside, Norms
from vitreous.trace.features import Features

BLOCKED = ["timm_vit", "timm_vit_unfused", "timm_vit_wide", "timm_dinov2_registers", "hf_vit_eager"]


@pytest.fixture(params=quick(BLOCKED, ["timm_vit", "timm_dinov2_registers"]))
def looked(request: pytest.FixtureRequest) -> tuple[nn.Module, torch.Tensor, Inside]:
    model, image = CASES[request.param].model(), CASES[request.param].images(1)
    return model, image, inside_of(describe(model), image)


def test_norms_are_those_of_artifacts(looked: tuple[nn.Module, torch.Tensor, Inside]) -> None:
    model, image, inside = looked
    alone = vitreous.artifacts(model, image)
    assert isinstance(inside.norms, Norms)
    assert inside.blocks == alone.blocks
    np.testing.assert_allclose(inside.norms.values, alone.norms[0].numpy(), rtol=1e-5)
    assert (inside.norms.outliers == alone.outliers[0].numpy()).all()
    assert inside.norms.score == alone.score


def test_heads_are_those_of_heads(looked: tuple[nn.Module, torch.Tensor, Inside]) -> None:
    model, image, inside = looked
    alone = vitreous.heads(model, image)
    assert isinstance(inside.heads, Heads)
    for name in ("distance", "entropy", "to_extra"):
        np.testing.assert_allclose(getattr(inside.heads, name), getattr(alone, name)[0].numpy(), rtol=1e-4, atol=1e-6)


def test_classes_are_those_of_the_logit_lens(looked: tuple[nn.Module, torch.Tensor, Inside]) -> None:
    model, image, inside = looked
    alone = vitreous.logit_lens(model, image, maps=False)
    assert not isinstance(inside.said, str)
    shares = [[each.share for each in block] for block in inside.said]
    np.testing.assert_allclose(shares, alone.probabilities[0].topk(3).values.numpy(), rtol=1e-3, atol=1e-6)


def test_likeness_and_colors_are_those_of_the_same_features(looked: tuple[nn.Module, torch.Tensor, Inside]) -> None:
    model, image, inside = looked
    assert not isinstance(inside.alike, str)
    assert not isinstance(inside.colors, str)
    for each in inside.alike:
        layer = inside.blocks[each.block] if each.kind == "tokens" else ""
        of: Features = each.kind  # type: ignore[assignment]
        alone = vitreous.similarity(model, image, layer=layer, of=of)
        np.testing.assert_allclose(each.values, alone.values.numpy(), atol=1e-5)
    for block, colors in zip(inside.blocks, inside.colors, strict=True):
        alone = vitreous.components(model, image, layer=block)
        assert isinstance(colors, Colors)
        np.testing.assert_allclose(colors.values, alone.colors[0].numpy(), atol=1e-3)
        np.testing.assert_allclose(colors.share, alone.share.numpy(), rtol=1e-4)


def test_models_that_share_a_page_share_its_room() -> None:
    subject, image, pairs = describe(CASES["timm_vit"].model()), CASES["timm_vit"].images(1), 16 * 17 // 2
    shown = {models: inside_of(subject, image, models=models).alike for models in (2, 600_000 // pairs, 10_000)}
    assert [len(shown[models]) for models in (2, 600_000 // pairs)] == [6, 1]
    assert "16 patches are too many for a page of 10000 models" in shown[10_000]


def test_keys_queries_and_values_are_told_where_they_are_seen() -> None:
    def kinds(name: str) -> list[str]:
        inside = inside_of(describe(CASES[name].model()), CASES[name].images(1))
        assert not isinstance(inside.alike, str)
        return [each.kind for each in inside.alike if each.kind != "tokens"]

    assert kinds("timm_vit") == ["keys", "queries", "values"]
    assert "keys" not in kinds("timm_vit_unfused"), "it writes its attention out itself"


def test_what_the_last_attention_meets_is_an_artifact() -> None:
    model, images = spoiled()
    norms = inside_of(describe(model), images[:1]).norms
    assert isinstance(norms, Norms)
    assert np.argwhere(norms.met).tolist() == [[1, 2]]


@pytest.mark.parametrize("name", ["timm_resnet", "timm_swin", "timm_siglip"])
def test_a_model_without_such_blocks_says_so_and_stays_whole(name: str) -> None:
    case = CASES[name]
    inside = inside_of(describe(case.model()), case.images(1))
    if inside.blocks:
        assert not isinstance(inside.norms, str)
    else:
        assert isinstance(inside.alike, str)
        assert inside.alike.endswith(".")
        assert {inside.norms, inside.said, inside.heads} == {inside.alike}


def test_without_a_classifier_only_the_lens_is_lacking() -> None:
    model, image = CASES["timm_vit"].model(), CASES["timm_vit"].images(1)
    model.reset_classifier(0)
    inside = inside_of(describe(model), image)
    assert "no class scores" in inside.said
    assert isinstance(inside.norms, Norms)
    assert isinstance(inside.heads, Heads)


def test_it_costs_a_few_passes() -> None:
    model, image = CASES["timm_vit"].model(), CASES["timm_vit"].images(1)
    passes: list[int] = []
    model.norm.register_forward_hook(lambda *_: passes.append(1))  # whole ones: measuring stops earlier
    inside_of(describe(model), image)
    assert len(passes) <= 8
