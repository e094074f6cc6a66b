"""Cosines of patches against loops over the equation, and what is read: tokens, keys, queries, values."""

from __future__ import annotations

import math

import pytest
import timm
import torch
from torch import Tensor, nn

import vitreous
from tests.contract.zoo import CASES
from tests.reference.vit import layer_norm
from tests.tiny import noise
from vitreous.errors import NoGlobalAttention, ObservationError, ShapeError, UnknownName
from vitreous.inside.similarity import Match, best_matches
from vitreous.models.zoo import LoadedModel


def slow_cosines(rows: list[Tensor], columns: list[Tensor]) -> Tensor:
    """cos(i, j) = fᵢ · fⱼ / (‖fᵢ‖ ‖fⱼ‖), a number at a time."""
    found = torch.zeros(len(rows), len(columns), dtype=torch.float64)
    for i, one in enumerate(rows):
        for j, other in enumerate(columns):
            product = sum(a.item() * b.item() for a, b in zip(one, other, strict=True))
            lengths = [math.sqrt(sum(a.item() ** 2 for a in each)) for each in (one, other)]
            found[i, j] = product / (lengths[0] * lengths[1])
    return found


def block_input(model: nn.Module, image: Tensor, block: int) -> Tensor:
    """The tokens that go into a block of a timm ViT."""
    with torch.no_grad():
        tokens = model.patch_embed(image[None])  # type: ignore[operator]
        tokens = model._pos_embed(tokens)  # type: ignore[operator]
        for each in model.blocks[:block]:  # type: ignore[index]
            tokens = each(tokens)
    return tokens[0]


@pytest.mark.parametrize(("of", "part"), [("queries", 0), ("keys", 1), ("values", 2)])
def test_what_an_attention_takes(of: str, part: int) -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images(2)
    rows: list[list[Tensor]] = []
    for image in images:
        attention = model.blocks[1].attn
        normed = [layer_norm(token, model.blocks[1].norm1) for token in block_input(model, image, 1)[1:]]
        taken = [(attention.qkv.weight @ token + attention.qkv.bias).chunk(3)[part] for token in normed]
        rows.append([each.detach().double() for each in taken])
    found = vitreous.similarity(model, images[0], images[1], layer="blocks.1.attn", of=of)  # type: ignore[arg-type]
    torch.testing.assert_close(found.values, slow_cosines(*rows), rtol=0, atol=1e-5)
    assert (found.layer, found.of, found.same) == ("blocks.1.attn", of, False)
    last = vitreous.similarity(model, images[0], of=of)  # type: ignore[arg-type]
    assert last.layer == f"blocks.{len(model.blocks) - 1}.attn"


def test_tokens_of_a_layer_within_a_picture_on_a_grid_that_is_no_square() -> None:
    model, images = CASES["timm_vit_wide"].model(), CASES["timm_vit_wide"].images()
    rows = list(block_input(model, images[0], 2)[1:].double())
    found = vitreous.similarity(model, images[0], layer="blocks.1")
    torch.testing.assert_close(found.values, slow_cosines(rows, rows), rtol=0, atol=1e-5)
    assert found.grid == found.other == (3, 5)
    torch.testing.assert_close(found.to(1, 2), found.values[7].reshape(3, 5))
    with pytest.raises(UnknownName, match="0,0 … 2,4"):
        found.to(3, 0)


def test_best_matches_are_mutual() -> None:
    values = torch.tensor([[0.9, 0.8, 0.1], [0.95, 0.2, 0.3]])
    assert best_matches(values) == [(1, 0)], "row 0 likes column 0 best, which likes row 1"
    alike = torch.tensor([[1.0, 0.5, 0.2, 0.1], [0.5, 1.0, 0.3, 0.4], [0.2, 0.3, 1.0, 0.9], [0.1, 0.4, 0.9, 1.0]])
    assert best_matches(alike, same=True) == [(2, 3), (0, 1)]


def test_a_picture_beside_itself_matches_patch_by_patch(model: LoadedModel) -> None:
    found = vitreous.similarity(model, noise(0), noise(0))
    assert {match.here for match in found.matches} == {(row, column) for row in range(4) for column in range(4)}
    assert all(match == Match(match.here, match.here, pytest.approx(1)) for match in found.matches)
    assert all(match.here != match.there for match in vitreous.similarity(model, noise(0)).matches)


def test_a_model_without_a_classifier() -> None:
    bare = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=32, depth=2, embed_dim=12).eval()
    assert vitreous.similarity(bare, torch.randn(3, 32, 32)).grid == (2, 2)
    assert vitreous.similarity(bare, torch.randn(3, 32, 32), of="keys").values.shape == (4, 4)


def test_several_outputs_and_no_scores() -> None:
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8
    )
    assert vitreous.similarity(ViTModel(config).eval(), torch.randn(3, 32, 32)).grid == (4, 4)


def test_what_cannot_be_read_is_refused() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images(2)
    with pytest.raises(ShapeError, match="`picture` holds 2 pictures"):
        vitreous.similarity(model, images)
    with pytest.raises(UnknownName, match="no value of `of` named"):
        vitreous.similarity(model, images[0], of="colors")  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="no attention named"):
        vitreous.similarity(model, images[0], of="keys", layer="blocks.0.mlp")
    with pytest.raises(NoGlobalAttention):
        vitreous.similarity(CASES["timm_swin"].model(), CASES["timm_swin"].images()[0], of="keys")
    written = CASES["hf_vit_eager"]
    with pytest.raises(ObservationError, match="its keys are not seen"):
        vitreous.similarity(written.model(), written.images()[0], of="keys")
