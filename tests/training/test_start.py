"""Starting from trained weights, and SGD."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from tests.training.test_classify import Data, dark_and_light, epochs_of
from tests.training.test_guide import ARGUMENTS, BASE, KINDS
from vitreous.data.labelled import load_labelled
from vitreous.errors import ModelError
from vitreous.models.card import ModelCard, read_weights
from vitreous.models.registry import registry
from vitreous.models.winft.backbone import WinfT
from vitreous.models.winft.block import resize_fields
from vitreous.models.zoo import load
from vitreous.training.classify import train
from vitreous.training.recipe import Augment, Optimizer
from vitreous.training.start import read_start, start_from

STILL = replace(BASE, epochs=1, augment=Augment(), optimizer=Optimizer(lr=0.0, min_lr=0.0, warmup_lr=0.0, ema=0.0))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return load_labelled(dark_and_light(tmp_path_factory.mktemp("data") / "set.npz"))


@pytest.fixture(scope="module")
def trained(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start") / "random"
    epochs_of(train(replace(BASE, epochs=1, fields=KINDS["random"]), data, folder))
    return folder


def test_a_run_starts_where_it_is_told(data: Data, trained: Path, tmp_path: Path) -> None:
    epochs_of(train(STILL, data, tmp_path / "out", start=trained))
    before, after = read_weights(trained), read_weights(tmp_path / "out")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_resumed_run_says_where_it_started(data: Data, trained: Path, tmp_path: Path) -> None:
    for done in train(replace(STILL, epochs=2), data, tmp_path, start=trained):
        if done.epoch == 2:
            break
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    torch.save({**kept, "best": -1.0}, tmp_path / "checkpoint.pt")  # so that the second epoch writes the folder
    epochs_of(train(replace(STILL, epochs=2), data, tmp_path, resume=True))
    notes = ModelCard.read(tmp_path).notes
    assert (notes["epoch"], notes["start"]) == (2, trained.name)


def test_another_grid_and_other_classes(trained: Path) -> None:
    larger: WinfT = registry().create_model("winft_tiny", **{**ARGUMENTS, "img_size": 24}, num_classes=5)
    head = larger.head.weight.clone()  # type: ignore[union-attr]
    start_from(larger, read_start(trained))
    model = load(trained).model
    assert torch.equal(larger.head.weight, head)  # type: ignore[union-attr,arg-type]
    assert torch.equal(larger.blocks[0].mlp.fc1.weight, model.blocks[0].mlp.fc1.weight)  # type: ignore[index,union-attr]
    field = resize_fields(model.blocks[0].field, (4, 4), (6, 6))  # type: ignore[index,union-attr]
    assert torch.equal(larger.blocks[0].field, field)


def test_weights_of_a_plain_vit(tmp_path: Path) -> None:
    vit = timm.create_model("vit_tiny_patch16_224", **{**ARGUMENTS, "img_size": 32})
    save_file(vit.state_dict(), tmp_path / "vit.safetensors")
    model: WinfT = registry().create_model("winft_tiny", **ARGUMENTS)
    start_from(model, read_start(tmp_path / "vit.safetensors"))
    assert torch.equal(model.blocks[1].attn.qkv.weight, vit.blocks[1].attn.qkv.weight)
    assert model.pos_embed.shape == (1, 17, 16)


@pytest.mark.parametrize("changes", [{"depth": 3}, {"depth": 1}, {"embed_dim": 32}])
def test_weights_that_do_not_fit(trained: Path, changes: dict[str, int]) -> None:
    model = registry().create_model("winft_tiny", **{**ARGUMENTS, **changes}, num_classes=2)
    with pytest.raises(ModelError, match=r"does not fit: .*Start from weights of the recipe's architecture"):
        start_from(model, read_start(trained))


def test_sgd_has_momentum_and_nothing_else(data: Data, tmp_path: Path) -> None:
    optimizer = Optimizer(
        name="sgd", momentum=0.5, lr=0.1, min_lr=0.1, warmup_epochs=0, weight_decay=0.0, clip=0.0, ema=0.0
    )
    recipe = replace(STILL, optimizer=optimizer, batch_size=32, epochs=2)
    rows = epochs_of(train(recipe, data, tmp_path / "out"))
    kept = torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)
    assert {group["momentum"] for group in kept["optimizer"]["param_groups"]} == {0.5}
    assert rows[-1].lr == 0.1
    assert all(set(state) == {"momentum_buffer"} for state in kept["optimizer"]["state"].values())
