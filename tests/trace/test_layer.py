"""The layer is found by watching, on every kind of network, and its output read as maps whatever its layout."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.contract.zoo import CASES
from vitreous.errors import NoTokenGrid, ShapeError, UnknownName
from vitreous.methods import make_method
from vitreous.trace.layer import find_layer
from vitreous.trace.layer_output import read_layer, run_with
from vitreous.trace.layout import Layer, layout
from vitreous.trace.observed import TokenGrid

FOUND = {
    "timm_vit": "blocks.2.norm1",
    "timm_vit_unfused": "blocks.2.norm1",
    "timm_vit_mean": "norm",
    "timm_siglip": "norm",
    "timm_cait": "blocks_token_only.0.norm1",
    "timm_swin": "norm",
    "timm_resnet": "layer4",
    "timm_mobilenet": "blocks",
    "torchvision_vit": "encoder.layers.encoder_layer_2.ln_1",
    "torchvision_swin": "permute",
    "torchvision_regnet": "trunk_output",
    "torch_encoder": "encoder.layers.2.norm1",
    "hf_vit_sdpa": "vit.layers.2.layernorm_before",
    "hf_vit_eager": "vit.layers.2.layernorm_before",
    "hf_clip_sdpa": "vision_model.encoder.layers.2",
    "hf_siglip_sdpa": "vision_model.post_layernorm",
    "hf_swin_sdpa": "swin.layernorm",
    "vit_pytorch": "transformer.layers.1.0.norm",
    "lora": "blocks.1.norm1",
}


@pytest.mark.parametrize("name", FOUND)
def test_the_layer_is_found(name: str) -> None:
    model, images = CASES[name].model(), CASES[name].images()
    assert find_layer(model, images).name == FOUND[name]
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


@pytest.mark.parametrize(
    "name",
    [
        "timm_vit_wide",
        "timm_dinov2_registers",
        "timm_naflex",
        "timm_swin",
        "torchvision_swin",
        "hf_swin_sdpa",
        "vit_pytorch",
        "class_token_last",
        "column_major",
    ],
)
def test_maps_lie_on_the_picture(name: str) -> None:
    """A changed corner of the picture changes that corner of the map: rows, columns and prefix are not mixed up."""
    case = CASES[name]
    model, images = case.model(), torch.zeros(1, *case.size)
    layer = find_layer(model, torch.randn(1, *case.size))
    changed = images.clone()
    changed[..., :8, -8:] = 5 * torch.randn(8, 8)
    difference = (read_layer(model, changed, layer).maps - read_layer(model, images, layer).maps).abs().sum((0, 1))
    height, width = difference.shape
    row, column = difference.sum(1), difference.sum(0)
    assert (row * torch.arange(height)).sum() / row.sum() < (height - 1) / 2
    assert (column * torch.arange(width)).sum() / column.sum() > (width - 1) / 2


def test_gradients_start_at_the_layer_and_are_those_of_the_whole_model() -> None:
    model, images = CASES["timm_swin"].model().double(), CASES["timm_swin"].images().double()
    seen = read_layer(model, images, find_layer(model, images, "layers.0"))
    kept: list[Tensor] = []
    with model.layers[0].register_forward_hook(lambda *call: kept.append(call[-1])):
        logits = model(images)
    direction = torch.randn_like(logits)
    (expected,) = torch.autograd.grad((logits * direction).sum(), kept)
    torch.testing.assert_close(seen.gradients(direction), expected.movedim(-1, 1))
    torch.testing.assert_close(seen.maps, kept[0].detach().movedim(-1, 1))


def test_what_is_changed_in_place_afterwards_is_kept_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = torch.randn(2, 3, 8, 8)
    seen = read_layer(model, images, find_layer(model, images, "0"))
    assert (seen.maps < 0).any()
    torch.testing.assert_close(seen.maps, model[0](images).detach())
    assert not seen.gradients(torch.ones(2, 4))[seen.maps < 0].any()


def test_a_changed_layer_changes_the_scores_and_only_within_the_call() -> None:
    model, images = CASES["timm_resnet"].model(), CASES["timm_resnet"].images()
    layer, expected = find_layer(model, images), model(images).detach()
    torch.testing.assert_close(run_with(model, images, layer, torch.zeros_like), model.fc.bias.expand(2, -1))
    torch.testing.assert_close(model(images).detach(), expected)


def test_the_user_s_images_and_frozen_parameters_stay() -> None:
    model, images = CASES["timm_vit"].model().requires_grad_(False), CASES["timm_vit"].images()
    read_layer(model, images, find_layer(model, images))
    assert not images.requires_grad
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ("shape", "grids", "expected"),
    [
        ((1, 64, 8, 12), [], (TokenGrid(0, 8, 12), 1)),
        ((1, 8, 12, 64), [], (TokenGrid(0, 8, 12), -1)),
        ((1, 64, 9, 13), [], (TokenGrid(0, 9, 13), 1)),  # rounded up
        ((1, 96, 64), [(8, 12)], (TokenGrid(0, 8, 12), -1)),
        ((1, 101, 64), [(16, 24), (8, 12)], (TokenGrid(5, 8, 12), -1)),
        ((1, 24, 64), [(8, 12)], (TokenGrid(0, 4, 6), -1)),  # patches merged two by two
        ((1, 64, 1), [(16, 16)], None),  # pooled
        ((1, 2, 8, 64), [], None),  # heads of queries
        ((1, 512, 1, 1), [], None),
        ((1, 512), [], None),
        ((1, 50, 64), [(8, 12)], None),
        ((1, 192, 24), [(8, 12)], None),  # channels before patches, as an unfolding gives
    ],
)
def test_layouts(shape: tuple[int, ...], grids: list[tuple[int, int]], expected: tuple[TokenGrid, int] | None) -> None:
    assert layout(shape, (64, 96), dict.fromkeys(grids)) == expected


def test_maps_of_each_layout() -> None:
    grid = TokenGrid(2, 3, 5)
    maps = torch.randn(2, 4, 3, 5)
    tokens = torch.cat([torch.randn(2, 2, 4), maps.flatten(2).mT], 1)
    assert torch.equal(Layer("", grid, -1).maps(tokens), maps)
    assert torch.equal(Layer("", grid, -1).maps(maps.movedim(1, -1)), maps)
    assert torch.equal(Layer("", grid, 1).maps(maps), maps)


def test_another_layer_by_name() -> None:
    model, images = CASES["timm_resnet"].model(), CASES["timm_resnet"].images()
    explanation = make_method("grad_cam", layer="layer3")(model, images)
    assert explanation.heatmap.shape == (2, 2, 2)
    assert "layer3" in repr(explanation)


def test_bad_layers_are_refused() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    with pytest.raises(UnknownName, match=r'no layer named "blocks.2.norm3". Did you mean "blocks.2.norm'):
        find_layer(model, images, "blocks.2.norm3")
    with pytest.raises(NoTokenGrid, match=r"`head` of `VisionTransformer` gave \(1, 7\) for one image"):
        find_layer(model, images, "head")
    model.unused = nn.Identity()
    with pytest.raises(NoTokenGrid, match="gave no tensor when the model ran"):
        find_layer(model, images, "unused")
    with pytest.raises(ShapeError, match="NaN"):
        find_layer(model, images * torch.nan)


def test_nothing_to_find_is_said() -> None:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5))
    with pytest.raises(NoTokenGrid, match="no layer of `Sequential` gave a map"):
        find_layer(flat, torch.randn(1, 3, 8, 8))
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    nn.init.zeros_(model.head.weight)
    with pytest.raises(NoTokenGrid, match="untrained head"):
        find_layer(model, images)
