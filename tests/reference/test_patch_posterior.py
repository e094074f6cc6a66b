"""The patch posterior from its model: kriging with unknown means, likeness and likelihood written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from tests.contract.zoo import CASES
from vitreous.errors import DegenerateMap, NoGlobalAttention, ShapeError
from vitreous.methods import make_method
from vitreous.methods.patch_posterior import draw_blobs, posterior
from vitreous.trace.target import Classes

CLASS, MASKS = 4, 20


@pytest.mark.parametrize(("name", "prior"), [("timm_vit_wide", "generic_attention"), ("timm_swin", "")])
def test_patch_posterior(name: str, prior: str) -> None:
    model, images = CASES[name].model().double(), CASES[name].images().double()
    method = make_method("patch_posterior", masks=MASKS, prior=prior, reach=2.0, temperature=0.4, seed=3, batch_size=7)
    got = method(model, images, Classes((CLASS,)))
    height, width = got.heatmap.shape[1:]
    hidden = draw_blobs(MASKS, (height, width), 3)
    maps = features(model, images, got.layer, height * width)
    for at, image in enumerate(images):
        logits, probabilities = [], []
        for mask in hidden:
            side = [size // patches for size, patches in zip(image.shape[1:], mask.shape, strict=True)]
            pixels = mask.repeat_interleave(side[0], 0).repeat_interleave(side[1], 1)
            with torch.no_grad():
                scores = model((image * ~pixels)[None])[0].tolist()
            logits.append(scores[CLASS])
            probabilities.append(math.exp(scores[CLASS]) / sum(map(math.exp, scores)))
        seen = [a + b for a, b in zip(standard(logits), standard(probabilities), strict=True)]
        covariance = slow_likeness(maps[at], width)
        if prior:
            known = make_method(prior)(model, images, Classes((CLASS,))).heatmap[at].flatten().tolist()
            known = torch.tensor(standard(known)).double()
            covariance += torch.outer(known, known)
        expected = slow_posterior((~hidden).flatten(1).double(), torch.tensor(seen).double(), covariance)
        torch.testing.assert_close(got.heatmap[at].flatten(), expected, rtol=1e-6, atol=1e-8)


def features(model: nn.Module, images: Tensor, layer: str, patches: int) -> Tensor:
    """(batch, patches, channels) of a layer, whichever layout it has."""
    kept: list[Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(lambda _, __, out: kept.append(out.detach()))
    model(images)
    handle.remove()
    return kept[0].flatten(1, -2)[:, -patches:]


def standard(values: list[float]) -> list[float]:
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    return [(value - mean) / spread for value in values]


def slow_likeness(tokens: Tensor, width: int) -> Tensor:
    centered = tokens - tokens.mean(0)
    found = torch.zeros(len(tokens), len(tokens), dtype=torch.float64)
    for s, one in enumerate(centered):
        for t, other in enumerate(centered):
            cosine = float(one @ other / (one.norm() * other.norm()))
            apart = (s // width - t // width) ** 2 + (s % width - t % width) ** 2
            found[s, t] = math.exp(-apart / (2 * 2.0**2) + (cosine - 1) / 0.4)
    return found


def slow_posterior(shown: Tensor, seen: Tensor, covariance: Tensor) -> Tensor:
    """Universal kriging: a and c by generalized least squares, and what not knowing them adds to the variance."""
    count = len(seen)
    means = torch.stack([torch.ones(count).double(), shown.sum(1)], 1)
    signal = shown @ covariance @ shown.T
    # what a and c cannot explain of the signal sets the unit of the noise
    left = torch.eye(count).double() - means @ torch.linalg.inv(means.T @ means) @ means.T
    unit = float((left @ signal @ left).trace()) / (count - 2)
    best, found = -math.inf, torch.empty(0)
    for step in range(33):
        total = signal + unit * 10 ** (-2 + step / 8) * torch.eye(count).double()
        inverse = torch.linalg.inv(total)
        precision = means.T @ inverse @ means
        guess = torch.linalg.inv(precision) @ means.T @ inverse @ seen
        off = seen - means @ guess
        scale = float(off @ inverse @ off) / (count - 2)
        likelihood = -0.5 * float(total.logdet() + precision.logdet() + (count - 2) * math.log(scale))
        if likelihood > best:
            gain = covariance @ shown.T @ inverse
            unknown = gain @ means
            spread = covariance - gain @ shown @ covariance + unknown @ torch.linalg.inv(precision) @ unknown.T
            effect = gain @ off
            deviations = effect / (scale * spread.diagonal()).sqrt()
            best, found = likelihood, torch.special.ndtr(deviations)
    return found


def test_effects_are_found() -> None:
    """Scores that are sums of effects: patches with positive ones are surely so, however much c is worth."""
    hidden = draw_blobs(200, (4, 4), 0)
    shown = (~hidden).flatten(1).double()
    effect = torch.tensor([3.0, -3.0, 0.0, 0.0] * 4).double()
    noise = 0.1 * torch.randn(200, generator=torch.Generator().manual_seed(0)).double()
    sure = posterior(shown, 7 + 2 * shown.sum(1) + shown @ effect + noise, torch.eye(16).double())
    assert (sure[0::4] > 0.999).all()
    assert (sure[1::4] < 0.001).all()
    assert ((sure[2::4] > 0.001) & (sure[2::4] < 0.999)).all()


@pytest.mark.parametrize("grid", [(1, 2), (3, 5), (14, 14)])
def test_masks_come_in_pairs_and_show_every_patch_as_often_as_not(grid: tuple[int, int]) -> None:
    hidden = draw_blobs(400, grid, 5)
    assert torch.equal(hidden[200:], ~hidden[:200])
    assert torch.equal(hidden.double().mean(0), torch.full(grid, 0.5).double())
    assert torch.equal(draw_blobs(400, grid, 5), hidden)
    assert not torch.equal(draw_blobs(400, grid, 6), hidden)


def test_a_score_that_no_mask_moves_is_refused() -> None:
    case = CASES["timm_vit"]
    model = case.model()
    nn.init.zeros_(model.get_submodule("head").weight)
    with pytest.raises(DegenerateMap):
        make_method("patch_posterior", masks=8, prior="", layer="blocks.1")(model, case.images())


@pytest.mark.parametrize("settings", [{"masks": 7}, {"reach": 0.0}, {"temperature": -1.0}])
def test_settings_are_checked(settings: dict[str, object]) -> None:
    case = CASES["timm_vit"]
    with pytest.raises(ShapeError, match=r"at least|from 8 to 4096"):
        make_method("patch_posterior", **settings)(case.model(), case.images())


def test_where_the_prior_does_not_apply_the_error_says_how_to_go_without() -> None:
    case = CASES["timm_swin"]
    with pytest.raises(NoGlobalAttention, match=r'Or set prior="" for `patch_posterior`\.$'):
        make_method("patch_posterior")(case.model(), case.images())
