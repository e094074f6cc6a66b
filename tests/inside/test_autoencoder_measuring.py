"""An autoencoder that somebody else has trained, measured on pictures of one's own."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import vitreous
from tests.contract.zoo import CASES
from tests.inside.test_autoencoder import made
from tests.inside.test_concepts import Pooled
from vitreous.errors import DataError, ShapeError, UnknownName
from vitreous.inside.autoencoder_measuring import MeasuredAutoencoder
from vitreous.trace.features import patch_features


def own_of(channels: int, layer: str) -> vitreous.SparseAutoencoder:
    sizes = {"encoder": torch.randn(channels, 7), "decoder": torch.randn(7, channels) / 9}
    return replace(made(), **sizes, decoder_bias=torch.randn(channels), layer=layer)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["timm_vit", "hf_vit_sdpa", "timm_siglip"])
def test_it_is_worth_what_the_equations_say_in_the_block_that_it_names(name: str) -> None:
    model, images = CASES[name].model(), CASES[name].images(3)
    blocks = vitreous.artifacts(model, images).blocks
    maps = patch_features(model, images, blocks[1]).maps
    own = own_of(maps.shape[1], "blocks.1")
    found = vitreous.measure_autoencoder(model, images, own, batch_size=2)
    assert type(found) is MeasuredAutoencoder
    assert found.autoencoder.layer == blocks[1]
    torch.testing.assert_close(found.features, maps, rtol=1e-3, atol=1e-4)
    rows = maps.movedim(1, -1).flatten(0, 2)
    much = own.encode(rows)
    explained = 1 - (rows - own.decode(much)).square().sum() / (rows - rows.mean(0)).square().sum()
    assert found.fidelity.explained == pytest.approx(explained.item(), rel=1e-3, abs=1e-3)
    assert found.dead == sum(not bool((much[:, at] > 0).any()) for at in range(7))
    assert found.fidelity.loss is not None
    assert found.fidelity.recovered_mean is not None


def test_what_was_trained_measures_as_in_training() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images(6)
    trained = vitreous.train_autoencoder(model, images, features=12, k=3, steps=3)
    again = vitreous.measure_autoencoder(model, images[list(trained.held_out)], trained.autoencoder)
    assert again.fidelity.explained == pytest.approx(trained.fidelity.explained, abs=1e-3)
    assert again.fidelity.loss == pytest.approx(trained.fidelity.loss, rel=1e-3, abs=1e-6)
    assert vitreous.measure_autoencoder(model, images, trained.autoencoder).dead == trained.dead


def test_an_autoencoder_that_keeps_all_keeps_the_decision() -> None:
    model, images = Pooled().eval(), torch.randn(3, 3, 32, 32)
    both = torch.cat([torch.eye(6), -torch.eye(6)])
    whole = vitreous.SparseAutoencoder(both.mT, torch.zeros(12), both, torch.zeros(6))
    found = vitreous.measure_autoencoder(model, images, whole, layer="patches")
    assert found.fidelity.explained == pytest.approx(1, abs=1e-5)
    assert found.fidelity.recovered_zero == pytest.approx(1, abs=1e-5)
    assert found.dead == 0


def test_layers_that_are_not_there_or_not_said_are_refused() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images(2)
    channels = model.num_features
    with pytest.raises(DataError, match=r"does not say which layer's tokens it is of. Give layer="):
        vitreous.measure_autoencoder(model, images, own_of(channels, ""))
    with pytest.raises(UnknownName, match=r"blocks\.99"):
        vitreous.measure_autoencoder(model, images, own_of(channels, "blocks.99"))
    with pytest.raises(UnknownName, match=r"blocks\.1"):
        vitreous.measure_autoencoder(CASES["timm_resnet"].model(), images, own_of(channels, "blocks.1"))
    with pytest.raises(ShapeError, match="the autoencoder takes"):
        vitreous.measure_autoencoder(model, images, own_of(channels + 1, "blocks.1"))
    with pytest.raises(ShapeError, match=r"are the same\. Give other pictures"):
        vitreous.measure_autoencoder(Pooled().eval(), torch.zeros(2, 3, 32, 32), own_of(6, "patches"))
