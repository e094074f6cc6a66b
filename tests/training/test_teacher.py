"""Distillation: what the teacher is asked, and who cannot teach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from tests.training.test_classify import RECIPE, Data, dark_and_light, epochs_of
from vitreous.data.labelled import load_labelled
from vitreous.errors import ModelError, UnknownName
from vitreous.training.batches import Batch, preprocess_of
from vitreous.training.classify import train
from vitreous.training.recipe import Augment, Distill
from vitreous.training.teacher import Teacher, regrid

DISTILL = Distill("vit_tiny_patch16_224", 32, (3, 5), views=1, logits=0.0, tokens=1.0)


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return load_labelled(dark_and_light(tmp_path / "set.npz"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    save_file(timm.create_model("vit_tiny_patch16_224").state_dict(), path)
    return path


def test_distills_from_a_teacher(data: Data, tmp_path: Path, teacher: Path) -> None:
    recipe = replace(RECIPE, augment=Augment(), distill=DISTILL, epochs=4, smoothing=0.0)
    done = epochs_of(train(recipe, data, tmp_path / "out", teacher=teacher))
    assert done[-1].loss < done[0].loss
    assert "project" not in " ".join(load_file(tmp_path / "out/model.safetensors"))
    run = train(recipe, data, tmp_path / "stopped", teacher=teacher)
    for step in run:
        if step.epoch == 3:
            break
    resumed = epochs_of(train(recipe, data, tmp_path / "stopped", teacher=teacher, resume=True))
    assert [row.loss for row in resumed] == pytest.approx([row.loss for row in done[2:]], rel=1e-4)


def test_the_teacher_is_asked_once_per_view(data: Data, teacher: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    ask = Teacher._ask
    monkeypatch.setattr(Teacher, "_ask", lambda self, images: asked.append(len(images)) or ask(self, images))
    recipe = replace(RECIPE, augment=Augment(), distill=DISTILL)
    kept = Teacher(DISTILL, teacher, len(data[0]), preprocess_of(recipe), (2, 2))
    images = torch.rand(3, 3, 16, 16)
    first = kept.answer(Batch(images[:2], torch.zeros(2, 2), torch.tensor([4, 7]), 0, 0))
    both = kept.answer(Batch(images, torch.zeros(3, 2), torch.tensor([4, 7, 1]), 0, 0))
    assert asked == [2, 1]
    assert torch.equal(first[0], both[0][:2])
    assert torch.equal(first[1], both[1][:2])
    assert both[1].shape == (3, 5, 192)


def test_a_teacher_with_another_mean_sees_the_same_picture(teacher: Path) -> None:
    given = preprocess_of(RECIPE)
    other = replace(given, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    pixels = torch.rand(2, 3, 16, 16)
    answers = []
    for preprocess in (given, other):
        mean, std = (torch.tensor(values)[:, None, None] for values in (preprocess.mean, preprocess.std))
        batch = Batch((pixels - mean) / std, torch.zeros(2, 2), torch.arange(2), 0, 0)
        answers.append(Teacher(DISTILL, teacher, 2, preprocess, (2, 2)).answer(batch)[1])
    torch.testing.assert_close(*answers, atol=2e-2, rtol=0)


def test_tokens_are_laid_on_another_grid() -> None:
    columns = torch.arange(4.0).expand(4, 4).reshape(1, 16, 1)
    assert torch.equal(regrid(columns, (4, 4)), columns)
    halved = regrid(columns, (2, 2)).reshape(2, 2)
    assert torch.equal(halved[0], halved[1])
    assert halved.sum() == pytest.approx(6)  # symmetric about the middle, 1.5
    assert halved[0, 0] < 1.5 < halved[0, 1]


def test_teachers_that_cannot_teach(data: Data, tmp_path: Path, teacher: Path) -> None:
    plain = replace(RECIPE, augment=Augment())

    def start(distill: Distill, weights: Path = teacher, **changes: object) -> None:
        next(iter(train(replace(plain, distill=distill, **changes), data, tmp_path / "out", teacher=weights)))

    with pytest.raises(ModelError, match="there is no file"):
        start(DISTILL, tmp_path / "none.safetensors")
    for name in ("bad.safetensors", "bad.pth"):
        (tmp_path / name).write_bytes(b"hello")
        with pytest.raises(ModelError, match=r"cannot be read|is not opened: it is damaged"):
            start(DISTILL, tmp_path / name)
    with pytest.raises(ModelError, match="does not fit `timm:vit_small_patch16_224`"):
        start(replace(DISTILL, teacher="vit_small_patch16_224"))
    with pytest.raises(UnknownName, match=r'no timm model named "vit_tiny_patch16"\. Did you mean'):
        start(replace(DISTILL, teacher="vit_tiny_patch16"))
    with pytest.raises(ModelError, match="names class 1000, and `vit_tiny_patch16_224` has 1000"):
        start(replace(DISTILL, classes=(0, 1000)))
    with pytest.raises(ModelError, match="the student is a `ResNet`"):
        start(DISTILL, architecture="resnet10t", arguments={})
