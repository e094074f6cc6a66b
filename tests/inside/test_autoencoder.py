"""Sparse autoencoders against their equations and a known dictionary, and what they are worth."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import vitreous
from tests.contract.zoo import CASES
from tests.inside.test_concepts import Pooled
from vitreous.errors import ShapeError
from vitreous.inside.autoencoder_training import fit
from vitreous.inside.fidelity import Fidelity, measure
from vitreous.models.zoo import describe
from vitreous.trace.features import patch_features
from vitreous.trace.reading import reading

CHANNELS, FEATURES = 4, 7


def made(k: int = 0, *, centered: bool = True, threshold: bool = False) -> vitreous.SparseAutoencoder:
    return vitreous.SparseAutoencoder(
        torch.randn(CHANNELS, FEATURES),
        torch.randn(FEATURES),
        torch.randn(FEATURES, CHANNELS),
        torch.randn(CHANNELS),
        k,
        centered,
        torch.rand(FEATURES) if threshold else None,
        "blocks.1",
    )


def slow_encode(own: vitreous.SparseAutoencoder, token: Tensor) -> list[float]:
    """A number at a time, from the equations."""
    much = list[float]()
    for feature in range(FEATURES):
        total = own.encoder_bias[feature].item()
        for channel in range(CHANNELS):
            less = own.decoder_bias[channel].item() if own.centered else 0.0
            total += (token[channel].item() - less) * own.encoder[channel, feature].item()
        least = 0.0 if own.threshold is None else own.threshold[feature].item()
        much.append(total if total > max(least, 0.0) else 0.0)
    if own.k:
        kept = sorted(range(FEATURES), key=lambda at: -much[at])[: own.k]
        much = [each if at in kept else 0.0 for at, each in enumerate(much)]
    return much


@pytest.mark.parametrize("k", [0, 2])
@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("threshold", [True, False])
def test_features_and_tokens_are_those_of_the_equations(k: int, centered: bool, threshold: bool) -> None:
    own, tokens = made(k, centered=centered, threshold=threshold), torch.randn(9, CHANNELS)
    assert own.kind == ("topk" if k else "relu")
    much = own.encode(tokens)
    back = own.decode(much)
    for token, mine, again in zip(tokens, much, back, strict=True):
        expected = slow_encode(own, token)
        torch.testing.assert_close(mine, torch.tensor(expected), rtol=1e-4, atol=1e-5)
        for channel in range(CHANNELS):
            total = own.decoder_bias[channel].item()
            total += sum(each * own.decoder[at, channel].item() for at, each in enumerate(expected))
            assert again[channel].item() == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize("tokens", [torch.randn(3, 5), torch.randn(4), torch.randn(1, 2, 4)])
def test_tokens_of_another_layer_are_refused(tokens: Tensor) -> None:
    with pytest.raises(ShapeError, match=r"takes \(n, 4\)"):
        inspect.unwrap(vitreous.SparseAutoencoder.encode)(made(), tokens)  # tests check shapes before it does


def test_training_finds_the_directions_that_tokens_are_made_of() -> None:
    generator = torch.Generator().manual_seed(1)
    directions = F.normalize(torch.randn(8, 16, generator=generator), dim=1)
    much = torch.rand(2000, 8, generator=generator) * (torch.rand(2000, 8, generator=generator) < 0.15)
    rows = 5 * much @ directions + 3

    def left(steps: int) -> tuple[float, float]:
        found = fit(rows, 16, 3, steps, torch.Generator().manual_seed(0))
        torch.testing.assert_close(found.decoder.norm(dim=1), torch.ones(16))
        gone = (found.decode(found.encode(rows)) - rows).square().sum() / (rows - rows.mean(0)).square().sum()
        return gone.item(), (directions @ found.decoder.mT).amax(1).mean().item()

    (before, far), (after, near) = left(1), left(400)
    assert after < before / 3
    assert near > far + 0.15


@pytest.mark.parametrize("name", ["timm_siglip", "timm_resnet", "timm_vit"])
def test_what_is_trained_on_a_model_is_measured_on_pictures_held_out(name: str) -> None:
    model, images = CASES[name].model(), CASES[name].images(5)
    done = list[tuple[int, int]]()
    found = vitreous.train_autoencoder(
        model, images, features=12, k=3, steps=4, batch_size=2, progress=lambda *now: done.append(now)
    )
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    own, told = found.autoencoder, found.fidelity
    (held,) = found.held_out
    features = patch_features(model, images, own.layer).maps
    torch.testing.assert_close(found.features, features, rtol=1e-3, atol=1e-4)
    rows = features[held].flatten(1).mT
    back = own.decode(own.encode(rows))
    explained = 1 - (rows - back).square().sum() / (rows - rows.mean(0)).square().sum()
    assert told.explained == pytest.approx(explained.item(), abs=1e-3)
    assert told.active == pytest.approx((own.encode(rows) > 0).sum(1).double().mean().item())
    all_rows = features.movedim(1, -1).flatten(0, 2)
    assert found.dead == sum(not bool((own.encode(all_rows)[:, at] > 0).any()) for at in range(12))
    again = vitreous.train_autoencoder(model, images, features=12, k=3, steps=4, batch_size=2)
    assert torch.equal(again.autoencoder.encoder, own.encoder)


def test_the_loss_is_the_divergence_of_the_decision() -> None:
    """Scores are a linear map of the mean patch: what they become with other patches is known."""
    model, images = Pooled().eval(), torch.randn(3, 3, 32, 32)
    features = model.patches(images).detach()
    own = replace(made(), encoder=torch.randn(6, 7), decoder=torch.randn(7, 6), decoder_bias=torch.randn(6))
    own = replace(own, layer="patches")
    rows = features.movedim(1, -1).flatten(0, 2)
    back = own.decode(own.encode(rows)).unflatten(0, (3, 16)).mean(1)
    mean = rows.mean(0).expand(3, 6)
    for link in ("softmax", "sigmoid", "identity"):
        with reading(describe(model).read_as(link=link).reading):
            told = measure(model, images, features, own, 2)
        for loss, pooled in zip(
            (told.loss, told.loss_zero, told.loss_mean), (back, torch.zeros(3, 6), mean), strict=True
        ):
            total = 0.0
            for was, now in zip(model.head(features.mean((2, 3))), model.head(pooled), strict=True):
                total += slow_loss(was.tolist(), now.tolist(), link) / 3
            assert loss == pytest.approx(total, rel=1e-3, abs=1e-5)
        assert told.recovered_zero == pytest.approx(1 - told.loss / told.loss_zero)
        assert told.recovered_mean == pytest.approx(1 - told.loss / told.loss_mean)


def slow_loss(was: list[float], now: list[float], link: str) -> float:
    if link == "identity":
        return sum((a - b) ** 2 for a, b in zip(was, now, strict=True))
    if link == "softmax":
        p, q = ([math.exp(each) / sum(map(math.exp, row)) for each in row] for row in (was, now))
        return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    p, q = ([1 / (1 + math.exp(-each)) for each in row] for row in (was, now))
    pairs = zip(p, q, strict=True)
    return sum(a * math.log(a / b) + (1 - a) * math.log((1 - a) / (1 - b)) for a, b in pairs)


def test_without_class_scores_or_where_patches_are_not_read_no_loss_is_told() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images(2)
    last = f"blocks.{len(model.blocks) - 1}"
    unread = vitreous.train_autoencoder(model, images, layer=last, features=4, k=2, steps=1).fidelity
    assert unread.loss == pytest.approx(0, abs=1e-7)
    assert unread.recovered_zero is unread.recovered_mean is None
    model.reset_classifier(0)
    headless = vitreous.train_autoencoder(model, images, layer=last, features=4, k=2, steps=1).fidelity
    assert headless == Fidelity(pytest.approx(unread.explained, abs=1e-3), pytest.approx(unread.active, abs=0.1))


@pytest.mark.parametrize(
    ("images", "features", "k", "said"),
    [
        (torch.randn(1, 3, 32, 32), 4, 2, "at least 2"),
        (torch.randn(2, 3, 32, 32), 4, 5, "`k` is 5"),
        (torch.zeros(2, 3, 32, 32), 4, 2, "are the same"),
        (torch.randn(2, 3, 32, 32), 10**9, 2, "`features`"),
    ],
)
def test_what_cannot_be_trained_is_refused(images: Tensor, features: int, k: int, said: str) -> None:
    with pytest.raises(ShapeError, match=said):
        vitreous.train_autoencoder(Pooled().eval(), images, layer="patches", features=features, k=k, steps=1)
