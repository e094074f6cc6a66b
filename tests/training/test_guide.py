"""Training a WinfT: where its fields come from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.quick import quick
from tests.training.test_classify import Data, dark_and_light, epochs_of
from vitreous.data.labelled import load_labelled
from vitreous.errors import DataError, ModelError, ShapeError
from vitreous.interact.attention_windows import dense_windows, rectangles
from vitreous.interact.indicator import average, interactions
from vitreous.models.card import ModelCard
from vitreous.models.zoo import load
from vitreous.trace.observed import TokenGrid
from vitreous.training.batches import preprocess_of
from vitreous.training.classify import EpochDone, StepDone, train
from vitreous.training.field_source import FieldSource
from vitreous.training.guided_fields import Guide
from vitreous.training.recipe import Augment, Optimizer, Recipe

ARGUMENTS = {"img_size": 16, "patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2}
BASE = Recipe(
    architecture="winft_tiny",
    image_size=16,
    epochs=2,
    batch_size=8,
    arguments=ARGUMENTS,
    augment=Augment(mixup=0.2),
    optimizer=Optimizer(lr=3e-3, warmup_epochs=0, ema=0.9),
)
KINDS: dict[str, FieldSource] = {
    "fixed": FieldSource("fixed", radius=1, warm_epochs=1),
    "random": FieldSource("random", density=0.3),
    "static": FieldSource("static", density=0.3, calibration=8, warm_epochs=1),
    "per_image": FieldSource("per_image", density=0.3, indicator="strength", warm_epochs=1),
    "predicted": FieldSource("predicted", density=0.3),
}
GRID = TokenGrid(1, 4, 4)
IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return load_labelled(dark_and_light(tmp_path_factory.mktemp("data") / "set.npz"))


@pytest.fixture(scope="module")
def teacher(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher") / "base"
    epochs_of(train(replace(BASE, epochs=1), data, folder))
    return folder


def guided(kind: str, **changes: Any) -> Recipe:
    return replace(BASE, fields=KINDS[kind], **changes)


@pytest.mark.parametrize("kind", quick(KINDS, ["per_image"]))
def test_every_kind_trains_and_resumes_to_the_bit(data: Data, teacher: Path, tmp_path: Path, kind: str) -> None:
    straight = epochs_of(train(guided(kind), data, tmp_path / "straight", teacher=teacher))
    assert straight[-1].loss < straight[0].loss
    for done in train(guided(kind), data, tmp_path / "stopped", teacher=teacher):
        if isinstance(done, StepDone) and done.epoch == 2 and done.step == 2:
            break
    resumed = epochs_of(train(guided(kind), data, tmp_path / "stopped", teacher=teacher, resume=True))
    assert [(row.loss, row.top1) for row in resumed] == [(row.loss, row.top1) for row in straight[1:]]
    for name in ("model.safetensors", "model.json"):
        assert (tmp_path / "straight" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()


@pytest.mark.parametrize("kind", ["random", "static", "predicted"])
def test_the_trained_folder_has_fields_as_dense_as_configured(
    data: Data, teacher: Path, tmp_path: Path, kind: str
) -> None:
    epochs_of(train(guided(kind), data, tmp_path / "out", teacher=teacher))
    model = load(tmp_path / "out").model
    seen = interactions(model, IMAGES).strength > 0
    assert (seen.sum(-1) == round(0.3 * 16)).all()
    assert seen.diagonal(dim1=-2, dim2=-1).all()
    if kind != "predicted":
        assert torch.equal(seen[0], torch.stack([block.field for block in model.blocks]))  # type: ignore[union-attr]


def test_static_fields_are_the_teachers_strongest_on_average(data: Data, teacher: Path) -> None:
    model = ModelCard("winft_tiny", ARGUMENTS, ("a", "b"), preprocess_of(BASE)).build()
    assert KINDS["static"].calibration == 8
    Guide(KINDS["static"], BASE, model, teacher, data[0]).begin(model, epoch=1)  # type: ignore[arg-type]
    prepare = preprocess_of(BASE)
    pictures = torch.stack([prepare(data[0][at][0]) for at in range(0, 32, 4)])
    strong = average(load(teacher).model, [pictures]).strength
    for block, wanted in zip(model.blocks, strong, strict=True):  # type: ignore[arg-type]
        for query, field in enumerate(block.field):
            others = [key for key in range(16) if key != query]
            best = sorted(others, key=lambda key: -wanted[query, key].item())[:4]
            assert set(field.nonzero()[:, 0].tolist()) == {query, *best}


@pytest.mark.parametrize("kind", ["static", "per_image"])
def test_boxes_are_the_teachers_adaptive_windows(data: Data, teacher: Path, kind: str) -> None:
    model = ModelCard("winft_tiny", ARGUMENTS, ("a", "b"), preprocess_of(BASE)).build()
    source = replace(KINDS[kind], form="box", density=0.4)
    guide = Guide(source, BASE, model, teacher, data[0])  # type: ignore[arg-type]
    if kind == "static":
        guide.begin(model, epoch=1)  # type: ignore[arg-type]
        fields = torch.stack([block.field for block in model.blocks])[None]  # type: ignore[union-attr]
        prepare = preprocess_of(BASE)
        strength = average(load(teacher).model, [torch.stack([prepare(data[0][at][0]) for at in range(0, 32, 4)])])
        wanted = strength.strength[None]
    else:
        (fields,) = guide.given(IMAGES, 1)
        wanted = interactions(load(teacher).model, IMAGES).strength
    assert torch.equal(fields, rectangles(dense_windows(wanted, GRID, 0.4), GRID))
    assert (fields.double().mean((-2, -1)) <= 0.4).all()
    assert (fields.double().mean((-2, -1)) > 0.3).all()


@pytest.mark.parametrize("kind", ["fixed", "per_image"])
def test_warm_epochs_see_everything_and_do_not_compete(data: Data, teacher: Path, tmp_path: Path, kind: str) -> None:
    first = next(done for done in train(BASE, data, tmp_path / "none") if isinstance(done, EpochDone))
    cold = replace(BASE, fields=replace(KINDS[kind], warm_epochs=0))
    other = next(done for done in train(cold, data, tmp_path / "cold", teacher=teacher) if isinstance(done, EpochDone))
    warm = epochs_of(train(guided(kind), data, tmp_path / "warm", teacher=teacher))
    assert other.loss != first.loss
    assert warm[0].loss == pytest.approx(first.loss, rel=1e-5)
    assert warm[1].best
    assert json.loads((tmp_path / "warm" / "summary.json").read_text())["best_epoch"] == 2
    assert ModelCard.read(tmp_path / "warm").notes["teacher"] == teacher.name


def test_a_teacher_of_another_size_and_mean_guides_alike(data: Data, teacher: Path, tmp_path: Path) -> None:
    larger = ModelCard("winft_tiny", {**ARGUMENTS, "img_size": 32, "patch_size": 8}, ("a", "b"), preprocess_of(BASE))
    model = larger.build()
    other = replace(preprocess_of(BASE), size=(32, 32), mean=(0.4, 0.4, 0.4))
    replace(larger, preprocess=other).save(tmp_path, model.state_dict())
    student = ModelCard("winft_tiny", ARGUMENTS, ("a", "b"), preprocess_of(BASE)).build()
    (fields,) = Guide(KINDS["per_image"], BASE, student, tmp_path, data[0]).given(IMAGES, 1)
    assert fields.shape == (2, 2, 16, 16)
    assert (fields.sum(-1) == round(0.3 * 16)).all()


def test_a_model_that_needs_a_teacher_says_so(data: Data, teacher: Path, tmp_path: Path) -> None:
    epochs_of(train(guided("per_image"), data, tmp_path / "out", teacher=teacher))
    with pytest.raises(ShapeError, match=r"`fields` must be .* in rf_mode \"per_image\"; got None"):
        load(tmp_path / "out").model(IMAGES)


def test_refusals(data: Data, teacher: Path, tmp_path: Path) -> None:
    def start(recipe: Recipe, teacher: Path | None = teacher) -> None:
        next(iter(train(recipe, data, tmp_path / "out", teacher=teacher)))

    with pytest.raises(DataError, match=r'fields of kind "static" come from a teacher\. Give a model with --teacher'):
        start(guided("static"), None)
    with pytest.raises(ModelError, match="`vit_tiny_patch16_224` takes no"):
        start(guided("fixed", architecture="vit_tiny_patch16_224"))
    with pytest.raises(ModelError, match="has 4×4 patches and 3 blocks, the teacher 4×4 and 2"):
        start(guided("per_image", arguments={**ARGUMENTS, "depth": 3}))
    with pytest.raises(ModelError, match="has 8×8 patches and 2 blocks, the teacher 4×4 and 2"):
        start(guided("predicted", arguments={**ARGUMENTS, "patch_size": 2}))
    with pytest.raises(DataError, match=r"`density` of \[fields\] is 0"):
        FieldSource("random", density=0.0)
    with pytest.raises(DataError, match="start soft"):
        FieldSource("predicted", warm_epochs=1)
    with pytest.raises(DataError, match="has radius -1"):
        FieldSource("fixed", radius=-1)
    with pytest.raises(DataError, match="2 of 2 epochs are `warm_epochs`"):
        replace(BASE, fields=FieldSource("fixed", warm_epochs=2))
    with pytest.raises(DataError, match="decides on `rf_mode`"):
        guided("predicted", arguments={**ARGUMENTS, "rf_mode": "static"})
