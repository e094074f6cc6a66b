from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vitreous.data.labelled import LabelledPictures, load_labelled
from vitreous.errors import DataError, ModelError, UnknownName
from vitreous.models.card import ModelCard, read_weights
from vitreous.training.batches import preprocess_of, training_batches
from vitreous.training.classify import EpochDone, StepDone, train
from vitreous.training.recipe import Augment, Distill, Optimizer, Recipe, read_recipe

ARGUMENTS = {"img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2, "drop_path_rate": 0.2}
AUGMENT = Augment(auto_augment="rand-m5", erasing=0.2, mixup=0.2, cutmix=0.5)
RECIPE = Recipe(
    architecture="vit_tiny_patch16_224",
    image_size=16,
    epochs=3,
    batch_size=8,
    arguments=ARGUMENTS,
    augment=AUGMENT,
    optimizer=Optimizer(lr=3e-3, warmup_epochs=0, ema=0.9),
)
Data = tuple[LabelledPictures, LabelledPictures, str]


def dark_and_light(path: Path, count: int = 48) -> Path:
    """Two classes that anyone can tell apart: noise around dark grey, noise around light grey."""
    rng = np.random.default_rng(0)
    files, labels = [], np.arange(count) % 2
    for label in labels:
        noise = rng.integers(0, 60, (16, 16, 3)) + (150 if label else 30)
        buffer = io.BytesIO()
        Image.fromarray(noise.astype(np.uint8)).save(buffer, "PNG")
        files.append(np.frombuffer(buffer.getvalue(), np.uint8))
    offset = np.cumsum([0, *(len(file) for file in files)])
    split = (np.arange(count) >= count * 2 // 3).astype(np.uint8)
    np.savez(path, jpeg=np.concatenate(files), offset=offset, label=labels, split=split, classes=["dark", "light"])
    return path


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return load_labelled(dark_and_light(tmp_path / "set.npz"))


def epochs_of(run: object) -> list[EpochDone]:
    return [done for done in run if isinstance(done, EpochDone)]  # type: ignore[attr-defined]


def test_learns_and_leaves_a_model_folder(data: Data, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=12, augment=Augment())
    done = epochs_of(train(recipe, data, tmp_path / "out"))
    assert done[-1].loss < done[0].loss
    assert max(row.top1 for row in done) == 1.0
    card = ModelCard.read(tmp_path / "out")
    assert card.class_names == ("dark", "light")
    assert card.notes["top1"] == 1.0
    assert card.notes["data_sha256"] == data[2]
    model = card.build()
    model.load_state_dict(read_weights(tmp_path / "out"))
    rows = list(csv.DictReader((tmp_path / "out" / "log.csv").read_text().splitlines()))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 13))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["top1"], summary["epochs"], summary["data_sha256"]) == (1.0, 12, data[2])
    assert {"seconds", "seed", "vitreous", "torch", "timm"} <= summary.keys()
    assert read_recipe(tmp_path / "out" / "recipe.toml") == recipe
    last, kept = read_weights(tmp_path / "out" / "last"), torch.load(tmp_path / "out" / "checkpoint.pt")
    assert ModelCard.read(tmp_path / "out" / "last").notes["epoch"] == 12 > card.notes["epoch"]
    assert all(torch.equal(last[name], average.half().float()) for name, average in kept["ema"].items())


SALG = {"embed_dim": 8, "depths": [1, 1, 1, 1]}
FULL = replace(RECIPE, architecture="salg_st", arguments=SALG, accumulate=2, drop_path=0.2, channels_last=True)


@pytest.mark.parametrize(
    "recipe",
    [RECIPE, pytest.param(FULL, marks=pytest.mark.slow), replace(RECIPE, bf16=True)],
    ids=["plain", "full", "bf16"],
)
def test_a_resumed_run_is_the_run_uninterrupted_to_the_bit(data: Data, tmp_path: Path, recipe: Recipe) -> None:
    straight = epochs_of(train(recipe, data, tmp_path / "straight"))
    stopped = train(recipe, data, tmp_path / "stopped")
    for done in stopped:  # killed in the middle of the second epoch
        if isinstance(done, StepDone) and done.epoch == 2 and done.step == 2:
            break
    stopped.close()  # type: ignore[attr-defined]
    torch.rand(3), np.random.rand(3)  # the world goes on meanwhile
    resumed = epochs_of(train(recipe, data, tmp_path / "stopped", resume=True))
    assert [(row.epoch, row.loss, row.top1) for row in straight[1:]] == [
        (row.epoch, row.loss, row.top1) for row in resumed
    ]
    a, b = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("straight", "stopped"))
    assert all(torch.equal(a[part][key], b[part][key]) for part in ("model", "ema") for key in a[part])
    for name in ("model.safetensors", "model.json"):
        assert (tmp_path / "straight" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()


def test_a_checkpoint_from_before_a_setting_existed_resumes(data: Data, tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=2)
    next(row for row in train(recipe, data, tmp_path) if isinstance(row, EpochDone))
    kept = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    values = json.loads(kept["recipe"])
    del values["balance"], values["optimizer"]["momentum"]
    torch.save({**kept, "recipe": json.dumps(values)}, tmp_path / "checkpoint.pt")
    with pytest.raises(DataError, match="made with another recipe"):
        next(iter(train(replace(recipe, balance=0.5), data, tmp_path, resume=True)))
    assert [row.epoch for row in epochs_of(train(recipe, data, tmp_path, resume=True))] == [2]


def test_a_loss_that_is_no_number_stops_the_run(data: Data, tmp_path: Path) -> None:
    wild = replace(RECIPE, epochs=9, optimizer=replace(RECIPE.optimizer, lr=1e30, warmup_lr=0.0, warmup_epochs=2))
    with pytest.raises(ModelError, match=r"the loss became (nan|inf), so training stopped"):
        epochs_of(train(wild, data, tmp_path / "out"))
    assert not (tmp_path / "out" / "model.safetensors").exists()


PLAIN = replace(RECIPE, epochs=2, augment=Augment(), arguments={**ARGUMENTS, "drop_path_rate": 0.0})


def losses(recipe: Recipe, data: Data, output: Path) -> list[float]:
    return [row.loss for row in epochs_of(train(recipe, data, output))]


def test_parts_of_a_step_are_the_step(data: Data, tmp_path: Path) -> None:
    whole = losses(PLAIN, data, tmp_path / "whole")
    assert losses(replace(PLAIN, accumulate=4), data, tmp_path / "parts") == pytest.approx(whole, rel=1e-4)


def test_bfloat16_is_close_and_weights_stay_float32(data: Data, tmp_path: Path) -> None:
    exact, low = (losses(replace(PLAIN, bf16=on), data, tmp_path / str(on)) for on in (False, True))
    assert low == pytest.approx(exact, rel=5e-2)
    assert low != exact
    kept = torch.load(tmp_path / "True" / "checkpoint.pt", weights_only=True)
    assert {t.dtype for t in kept["model"].values()} == {torch.float32}


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch 2.9, while it compiles
def test_compiled_is_the_same(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda run: compiled.append(run) or compile_(run, backend="eager"))
    exact = losses(PLAIN, data, tmp_path / "exact")
    assert not compiled
    assert losses(replace(PLAIN, compile=True), data, tmp_path / "compiled") == pytest.approx(exact, rel=1e-5)
    assert len(compiled) == 1


def test_stochastic_depth_is_the_models_and_not_the_folders(data: Data, tmp_path: Path) -> None:
    named = replace(RECIPE, epochs=1)
    with pytest.raises(DataError, match="are one thing"):
        replace(named, drop_path=0.2)
    arguments = {name: value for name, value in ARGUMENTS.items() if name != "drop_path_rate"}
    given = replace(named, arguments=arguments, drop_path=0.2)
    assert losses(given, data, tmp_path / "given") == losses(named, data, tmp_path / "named")
    assert "drop_path_rate" not in ModelCard.read(tmp_path / "given").arguments


def test_what_is_not_decayed(data: Data, tmp_path: Path) -> None:
    epochs_of(train(replace(FULL, epochs=1), data, tmp_path / "out"))
    free, decayed = torch.load(tmp_path / "out" / "checkpoint.pt", weights_only=True)["optimizer"]["param_groups"]
    assert (free["weight_decay"], decayed["weight_decay"]) == (0.0, 0.05)
    model = ModelCard.read(tmp_path / "out").build()
    spared = model.no_weight_decay()
    assert spared
    assert len(free["params"]) == sum(p.ndim < 2 or name in spared for name, p in model.named_parameters())


def test_the_centre_is_cropped() -> None:
    preprocess = preprocess_of(replace(RECIPE, image_size=224, crop_pct=0.875))
    assert (preprocess.size, preprocess.resize) == ((224, 224), (256, 256))


def test_training_leaves_the_users_randomness_alone(data: Data, tmp_path: Path) -> None:
    torch.manual_seed(7)
    np.random.seed(7)
    expected = torch.rand(2), np.random.rand()
    torch.manual_seed(7)
    np.random.seed(7)
    epochs_of(train(replace(RECIPE, epochs=1), data, tmp_path / "out"))
    assert torch.equal(torch.rand(2), expected[0])
    assert np.random.rand() == expected[1]


def test_workers_change_nothing(data: Data) -> None:
    alone, helped = (list(training_batches(RECIPE, data[0], 1, workers=workers)) for workers in (0, 1))
    for a, b in zip(alone, helped, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.labels, b.labels)


def test_epochs_differ_and_fixed_views_return(data: Data) -> None:
    distill = Distill("vit_tiny_patch16_224", 32, (0, 1), views=2)
    fixed = replace(RECIPE, augment=replace(AUGMENT, mixup=0.0, cutmix=0.0), distill=distill)

    def picture(recipe: Recipe, epoch: int) -> torch.Tensor:
        batches = list(training_batches(recipe, data[0], epoch, workers=0))
        images, index = torch.cat([b.images for b in batches]), torch.cat([b.index for b in batches])
        return images[index == 5][0]

    assert not torch.equal(picture(fixed, 0), picture(fixed, 1))
    assert torch.equal(picture(fixed, 0), picture(fixed, 2))


def test_refusals(data: Data, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no checkpoint\.pt to resume from"):
        next(iter(train(RECIPE, data, tmp_path / "none", resume=True)))
    epochs_of(train(replace(RECIPE, epochs=1), data, tmp_path / "out"))
    with pytest.raises(DataError, match="holds a run already"):
        next(iter(train(RECIPE, data, tmp_path / "out")))
    with pytest.raises(DataError, match="made with another recipe"):
        next(iter(train(RECIPE, data, tmp_path / "out", resume=True)))
    other = (data[0], data[1], "another")
    with pytest.raises(DataError, match="was trained on other data"):
        next(iter(train(replace(RECIPE, epochs=1), other, tmp_path / "out", resume=True)))
    (tmp_path / "out" / "log.csv").unlink()
    with pytest.raises(DataError, match=r"log\.csv lacks the epochs that are done"):
        next(iter(train(replace(RECIPE, epochs=1), data, tmp_path / "out", resume=True)))
    damages: dict[str, Callable[[Path], object]] = {
        r"checkpoint\.pt` is not opened: it is damaged": lambda path: path.write_bytes(b"hello"),
        r"checkpoint\.pt is no checkpoint of a run": lambda path: torch.save({"model": {}}, path),
    }
    for said, damage in damages.items():
        damage(tmp_path / "out" / "checkpoint.pt")
        with pytest.raises(DataError, match=said):
            next(iter(train(replace(RECIPE, epochs=1), data, tmp_path / "out", resume=True)))
    with pytest.raises(DataError, match="a batch has 7 pictures"):
        next(iter(train(replace(RECIPE, batch_size=7), data, tmp_path / "odd")))
    with pytest.raises(DataError, match="`batch_size` 8 is no multiple of `accumulate` 3"):
        replace(RECIPE, accumulate=3)
    with pytest.raises(DataError, match=r"`crop_pct` is 1\.5"):
        replace(RECIPE, crop_pct=1.5)
    with pytest.raises(ModelError, match="`vit_tiny_patch16_224` cannot be built with these arguments"):
        next(iter(train(replace(PLAIN, arguments={"size": 3}), data, tmp_path / "unbuilt")))
    with pytest.raises(ModelError, match="dim should be divisible by num_heads"):
        next(iter(train(replace(PLAIN, arguments={**ARGUMENTS, "num_heads": 5}), data, tmp_path / "unbuilt")))
    with pytest.raises(UnknownName, match=r'no architecture named "vit_tny_patch16_224"\. Did you mean "vit_tiny'):
        next(iter(train(replace(PLAIN, architecture="vit_tny_patch16_224"), data, tmp_path / "unbuilt")))
    with pytest.raises(ModelError, match=r"RGB pictures of 24×24: Input height \(24\) doesn't match model \(16\)"):
        next(iter(train(replace(PLAIN, image_size=24), data, tmp_path / "unbuilt")))
    with pytest.raises(DataError, match=r"`auto_augment` is \"foo\""):
        next(iter(train(replace(PLAIN, augment=Augment(auto_augment="foo")), data, tmp_path / "new")))
    one = tuple(replace(part, class_names=("dark",)) for part in data[:2])
    with pytest.raises(DataError, match=r"the data has 1 class \(dark\)"):
        next(iter(train(PLAIN, (*one, data[2]), tmp_path / "new")))
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file` cannot be written"):
        next(iter(train(PLAIN, data, tmp_path / "file")))
    with pytest.raises(DataError, match="auto_augment changes colors itself"):
        replace(RECIPE, augment=replace(AUGMENT, color_jitter=0.1))
    with pytest.raises(DataError, match="mixes pictures"):
        replace(RECIPE, distill=Distill("vit_tiny_patch16_224", 32, (0, 1)))
    plain = replace(RECIPE, augment=Augment(), distill=Distill("vit_tiny_patch16_224", 32, (0, 1)))
    with pytest.raises(DataError, match="Give its checkpoint with --teacher"):
        next(iter(train(plain, data, tmp_path / "new")))
    three = replace(plain, distill=Distill("vit_tiny_patch16_224", 32, (0, 1, 2)))
    with pytest.raises(DataError, match="names 3 classes, the data has 2"):
        next(iter(train(three, data, tmp_path / "new")))
