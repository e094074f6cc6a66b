from __future__ import annotations

from pathlib import Path

import pytest
import torch

import vitreous
from tests.contract.zoo import CASES
from tests.tiny import noise, save_model
from vitreous.errors import ObservationError, ShapeError
from vitreous.interact.indicator import average


def test_streamed_averages_are_those_of_all_at_once() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images(7)
    whole, streamed = vitreous.interactions(model, images, batch_size=7), average(model, images.split(3))
    assert streamed.images == 7
    torch.testing.assert_close(streamed.strength, whole.strength.double().mean(0), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(streamed.uncertainty, whole.uncertainty.double().mean(0), rtol=1e-5, atol=1e-6)
    assert streamed.certainty.shape == (3, 16, 16)
    small = vitreous.interactions(model, images, batch_size=2)
    torch.testing.assert_close(small.strength, whole.strength, rtol=1e-4, atol=1e-5)
    with pytest.raises(ShapeError, match="`batches` is empty"):
        average(model, [])


def test_pictures_go_through_the_models_preprocessing(tmp_path: Path) -> None:
    model = vitreous.load(str(save_model(tmp_path / "tiny")))
    found = vitreous.interactions(model, [noise(0), noise(1)])
    assert found.strength.shape == (2, 2, 16, 16)
    torch.testing.assert_close(found.strength.mean(-1), torch.ones(2, 2, 16))
    torch.testing.assert_close(vitreous.interactions(model, noise(1)).strength[0], found.strength[1])


def test_attention_lost_in_rounding_is_refused() -> None:
    model = CASES["timm_vit"].model()
    with torch.no_grad():  # every query is (1, 0, …) and the class token's key far along it
        attention, token = model.blocks[0].attn, torch.linspace(-1, 1, 32)
        model.cls_token.copy_(50 * token)
        model.pos_embed.zero_()
        attention.qkv.bias.zero_()
        attention.qkv.bias[:32] = 100
        attention.qkv.weight[32:64] = token
    with pytest.raises(ObservationError, match="wider type"):
        vitreous.interactions(model, CASES["timm_vit"].images())


def test_settings_are_checked() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    with pytest.raises(ShapeError, match="`batch_size`"):
        vitreous.interactions(model, images, batch_size=0)
