"""Fine-tuning: what is taken from the model that it starts from, and how fast its layers learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from tests.training.test_classify import RECIPE, Data, dark_and_light, epochs_of
from vitreous.cli.main import app
from vitreous.data.labelled import load_labelled
from vitreous.errors import DataError, ModelError
from vitreous.models.card import ModelCard, read_weights
from vitreous.models.registry import registry
from vitreous.training.classify import train
from vitreous.training.log import Note
from vitreous.training.parameters import parameter_groups
from vitreous.training.recipe import Optimizer, find_recipe, read_recipe
from vitreous.training.start import completed, read_start

FINETUNE = read_recipe(find_recipe("finetune"))
STILL = Optimizer(lr=0.0, min_lr=0.0, warmup_lr=0.0, warmup_epochs=0, ema=0.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return load_labelled(dark_and_light(tmp_path_factory.mktemp("data") / "set.npz"))


@pytest.fixture(scope="module")
def trained(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start") / "trained"
    named = replace(RECIPE, epochs=1, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), crop_pct=0.8)
    epochs_of(train(named, data, folder))
    return folder


def test_a_recipe_without_architecture_takes_what_the_start_says(trained: Path) -> None:
    recipe = completed(FINETUNE, read_start(trained))
    assert (recipe.architecture, recipe.image_size, recipe.crop_pct) == ("vit_tiny_patch16_224", 16, 0.8)
    assert (recipe.mean, recipe.std) == ((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    assert recipe.arguments == RECIPE.arguments
    assert completed(RECIPE, read_start(trained)) is RECIPE
    with pytest.raises(DataError, match="names no architecture, and nothing to start from is given"):
        completed(FINETUNE, None)
    with pytest.raises(DataError, match=r"`.*safetensors` does not say what it is\. .*--start timm:NAME@FILE"):
        completed(FINETUNE, read_start(trained / "model.safetensors"))


def test_a_model_that_comes_along_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = completed(FINETUNE, read_start("default"))
    assert (recipe.architecture, recipe.image_size) == ("vit_tiny_patch16_224", 128)


def test_a_model_of_timms_with_weights_of_a_file(tmp_path: Path) -> None:
    model = timm.create_model("resnet10t", num_classes=3)
    save_file(model.state_dict(), tmp_path / "own.safetensors")
    start = read_start(f"timm:resnet10t@{tmp_path / 'own.safetensors'}")
    recipe = completed(FINETUNE, start)
    config = model.pretrained_cfg
    assert (recipe.architecture, recipe.image_size) == ("resnet10t", config["input_size"][1])
    assert (recipe.mean, recipe.std) == (config["mean"], config["std"])
    assert recipe.crop_pct == pytest.approx(config["crop_pct"], abs=0.01)
    with pytest.raises(ModelError, match="there is no file"):
        read_start(tmp_path / "none.pth")


def test_the_head_gives_place_with_a_word_and_a_resumed_run_knows_the_rest(
    data: Data, trained: Path, tmp_path: Path
) -> None:
    three = tuple(replace(part, class_names=("dark", "light", "else")) for part in data[:2])
    recipe = replace(FINETUNE, epochs=2, optimizer=STILL, augment=RECIPE.augment)
    events = train(recipe, (*three, data[2]), tmp_path / "out", start=trained)
    assert next(events) == Note(f"The head of {trained}, for 2 classes, gives place to a new one for 3.")
    while not (tmp_path / "out" / "checkpoint.pt").exists():
        next(events)
    events.close()
    assert [row.epoch for row in epochs_of(train(recipe, (*three, data[2]), tmp_path / "out", resume=True))] == [2]
    before, after = read_weights(trained), read_weights(tmp_path / "out")
    assert all(torch.equal(before[name], after[name]) for name in before if not name.startswith("head"))
    assert ModelCard.read(tmp_path / "out").preprocess.mean == (0.4, 0.5, 0.6)


def test_early_layers_learn_slowly() -> None:
    model = registry().create_model("vit_tiny_patch16_224", **RECIPE.arguments, num_classes=2)
    groups = parameter_groups(model, Optimizer(layer_decay=0.5))
    shares = {id(p): group["lr_scale"] for group in groups for p in group["params"]}
    assert len(shares) == len(list(model.parameters()))
    share = {name: shares[id(p)] for name, p in model.named_parameters()}
    assert share["head.weight"] == 1
    assert share["blocks.1.mlp.fc1.weight"] == 2 * share["blocks.0.mlp.fc1.weight"] < 1
    assert share["pos_embed"] == share["blocks.0.mlp.fc1.weight"] / 2


def test_a_frozen_model_trains_its_head_alone(data: Data, trained: Path, tmp_path: Path) -> None:
    frozen = replace(FINETUNE, epochs=1, optimizer=Optimizer(lr=0.1, warmup_epochs=0, layer_decay=0.0, ema=0.0))
    epochs_of(train(frozen, data, tmp_path / "out", start=trained))
    before, after = read_weights(trained), read_weights(tmp_path / "out")
    assert {name for name in before if not torch.equal(before[name], after[name])} == {"head.weight", "head.bias"}


@pytest.mark.slow
def test_the_command(trained: Path, tmp_path: Path) -> None:
    archive = dark_and_light(tmp_path / "set.npz")
    given = ["--data", str(archive), "--output", str(tmp_path / "out"), "--device", "cpu", "--epochs", "1"]
    done = CliRunner().invoke(app, ["train", "finetune", "--start", str(trained), *given], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert read_recipe(tmp_path / "out" / "recipe.toml").architecture == "vit_tiny_patch16_224"
    refused = CliRunner().invoke(app, ["train", "finetune", *given])
    assert (refused.exit_code, "nothing to start from is given" in refused.stderr) == (1, True)
