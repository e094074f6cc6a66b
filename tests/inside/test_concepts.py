"""Factors against what they were mixed of and against the conditions of a least; effects against changed models."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import vitreous
from tests.contract.zoo import CASES
from tests.quick import quick
from vitreous.errors import NoClassScores, ShapeError, UnknownName
from vitreous.inside.concepts import Concepts, PatchOf, in_patches
from vitreous.inside.effects import random_directions
from vitreous.inside.factors import factorize, loadings
from vitreous.trace.features import patch_features


def test_factors_make_up_what_is_a_sum_of_as_many_directions() -> None:
    directions = torch.randn(3, 12, dtype=torch.float64)
    much = torch.rand(200, 3, dtype=torch.float64) * (torch.rand(200, 3) < 0.4)
    rows = much @ directions
    found, ways = factorize(rows, 3)
    torch.testing.assert_close(found @ ways, rows, rtol=0, atol=0.01)
    assert (found >= 0).all()
    torch.testing.assert_close(ways.norm(dim=1), torch.ones(3, dtype=torch.float64))
    assert all(torch.equal(*pair) for pair in zip(factorize(rows, 3), (found, ways), strict=True))


def test_factors_lie_between_principal_components_and_the_best_of_their_sides() -> None:
    rows = torch.randn(100, 8, dtype=torch.float64)
    _, spread, _ = torch.linalg.svd(rows, full_matrices=False)
    for count in (1, 2, 5):
        left = (rows - torch.mm(*factorize(rows, count))).square().sum()
        assert spread[count:].square().sum() <= left < rows.square().sum() - spread[0] ** 2 / 4


def test_loadings_are_the_least_that_is_not_below_zero() -> None:
    """Karush-Kuhn-Tucker, a number at a time: no slope where a loading is above zero, none down where it is zero."""
    rows, directions = torch.randn(40, 6, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)
    found = loadings(rows, directions)
    zeros = 0
    for row, mine in zip(rows, found, strict=True):
        left = row - sum(much * way for much, way in zip(mine, directions, strict=True))
        for much, way in zip(mine, directions, strict=True):
            slope = -2 * float(left @ way)
            assert much >= 0
            assert slope > -1e-4 if much == 0 else abs(slope) < 1e-4
            zeros += int(much == 0)
    assert 0 < zeros < found.numel()


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        (torch.randn(5, 3), 4),
        (torch.randn(5, 3), 0),
        (torch.ones(5, 1) @ torch.ones(1, 3), 3),
        (torch.zeros(5, 3), 1),
    ],
)
def test_what_has_no_factors_is_refused(rows: Tensor, count: int) -> None:
    with pytest.raises(ShapeError, match=r"at most 3|do not vary in"):
        factorize(rows.double(), count)


@pytest.mark.parametrize(
    "name", quick(["timm_vit_wide", "timm_siglip", "timm_swin", "timm_resnet"], ["timm_vit_wide", "timm_resnet"])
)
def test_patches_are_the_mean_and_their_concepts(name: str) -> None:
    model, images = CASES[name].model(), CASES[name].images(4)
    found = vitreous.concepts(model, images, 3, batch_size=3)
    features = patch_features(model, images, found.layer).maps.double()
    made = found.mean[:, None, None] + torch.einsum("nkhw,kc->nchw", found.maps, found.directions)
    mean = features.mean((0, 2, 3), keepdim=True)
    explained = 1 - (features - made).square().sum() / (features - mean).square().sum()
    assert found.explained == pytest.approx(explained.item(), abs=1e-5)
    assert 0 < found.explained < 1
    assert (found.maps >= 0).all()
    torch.testing.assert_close(in_patches(features, found), found.maps, rtol=0, atol=0.02 * found.maps.max().item())
    assert found.shares.sum().item() == pytest.approx(1)
    assert found.shares.tolist() == sorted(found.shares.tolist(), reverse=True)


def test_what_shows_a_concept_most() -> None:
    maps = torch.zeros(3, 2, 2, 4)
    maps[0, 0, 1, 2], maps[0, 0, 0, 0], maps[2, 0, 0, 3] = 5, 4, 7
    maps[1, 1] = 1
    found = Concepts(maps, torch.eye(2), torch.zeros(2), 1.0, "layer")
    assert found.patches(0) == (PatchOf(2, 0, 3, 7.0), PatchOf(0, 1, 2, 5.0))
    assert found.pictures(0) == (0, 2)
    assert found.pictures(1) == (1,)
    with pytest.raises(UnknownName, match="0 … 1"):
        found.patches(2)


class Pooled(nn.Module):
    """Scores that are a linear map of the mean of patch features: the effect of a concept is known."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.head = nn.Conv2d(3, 6, 8, 8), nn.Linear(6, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.patches(images).mean((2, 3)))


def test_effects_of_a_linear_head_are_those_of_its_weights() -> None:
    model, images = Pooled().eval(), torch.randn(5, 3, 32, 32)
    found = vitreous.concepts(model, images, 2, layer="patches")
    effects = vitreous.concept_effects(model, images, found, 1, draws=3, batch_size=2)
    for image in range(5):
        for concept in range(2):
            slope = float(model.head.weight[1].detach().double() @ found.directions[concept])
            there = found.maps[image, concept].mean().item()
            assert effects.removed[image, concept].item() == pytest.approx(-there * slope, abs=1e-4)
            every = found.maps[:, concept]
            typical = every[every > 0].mean().item()
            assert effects.added[image, concept].item() == pytest.approx(typical * slope, abs=1e-4)
    maps = model.patches(images).detach().movedim(1, -1).flatten(0, 2).double()
    drawn = random_directions(maps, 2, torch.Generator().manual_seed(0))
    for concept in range(2):
        slope = float(model.head.weight[1].detach().double() @ drawn[concept])
        expected = -found.maps[:, concept].mean((1, 2)) * slope
        torch.testing.assert_close(
            effects.removed_by_chance[0, :, concept].double(), expected, rtol=0, atol=1e-4, check_dtype=False
        )
        own = effects.removed[:, concept].mean().abs()
        farther = sum(bool(effects.removed_by_chance[draw, :, concept].mean().abs() >= own) for draw in range(3))
        assert effects.chance[concept].item() == pytest.approx((1 + farther) / 4)


@pytest.mark.parametrize("name", quick(["timm_vit", "timm_swin", "hf_vit_sdpa"], ["timm_vit"]))
def test_effects_on_a_model_go_on_from_the_changed_layer(name: str) -> None:
    model, images = CASES[name].model(), CASES[name].images(2)
    found = vitreous.concepts(model, images, 2)
    done: list[tuple[int, int]] = []
    effects = vitreous.concept_effects(model, images, found, 3, draws=1, progress=lambda *now: done.append(now))
    assert done[-1] == (8, 8)
    module = model.get_submodule(found.layer)
    much = in_patches(patch_features(model, images, found.layer).maps, found)[:, 0].flatten(1)

    def without(_: nn.Module, __: object, output: Tensor) -> Tensor:
        rows = output.clone().flatten(1, -2)
        rows[:, -much.shape[1] :] -= (much[..., None] * found.directions[0]).to(rows)
        return rows.view_as(output)

    def scores() -> Tensor:
        with torch.no_grad():
            out = model(images)
        return (out if isinstance(out, Tensor) else out.logits)[:, 3]

    before = scores()
    hook = module.register_forward_hook(without)
    after = scores()
    hook.remove()
    torch.testing.assert_close(effects.removed[:, 0], after - before, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(effects.scores, before)


def test_effects_that_cannot_be_measured_are_refused() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images(2)
    found = vitreous.concepts(model, images, 2)
    with pytest.raises(ShapeError, match="`draws`"):
        vitreous.concept_effects(model, images, found, draws=0)
    other = Concepts(found.maps, found.directions[:, :5], found.mean[:5], 1.0, found.layer)
    with pytest.raises(ShapeError, match="have 5"):
        vitreous.concept_effects(model, images, other)
    model.reset_classifier(0)
    with pytest.raises(NoClassScores):
        vitreous.concept_effects(model, images, found)
