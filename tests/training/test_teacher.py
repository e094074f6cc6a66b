"""Distillation: what the teacher is asked, and who cannot teach."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from tests.quick import quick
from tests.training.test_classify import ARGUMENTS, RECIPE, Data, dark_and_light, epochs_of
from vitreous.data.labelled import load_labelled
from vitreous.errors import DataError, ModelError, UnknownName
from vitreous.training.batches import TrainingBatch, preprocess_of
from vitreous.training.classify import train
from vitreous.training.kept import KeptAnswers
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


STUDENT = timm.create_model("vit_tiny_patch16_224", **ARGUMENTS)
HINTED = Distill("vit_tiny_patch16_224", 32, probe=True, views=2, tokens=0.0, hints=1.0)
RECIPES = {
    "tokens": replace(DISTILL, views=2),
    "hints": HINTED,
    "anew": replace(HINTED, views=0),
    "mixed": replace(HINTED, views=0),
    "blockwise": replace(HINTED, tokens=0.5, blockwise=2),
}


@pytest.mark.parametrize("name", quick(RECIPES, ["hints"]))
def test_distills_from_a_teacher_and_resumes_to_the_bit(data: Data, tmp_path: Path, teacher: Path, name: str) -> None:
    wide = {**ARGUMENTS, "embed_dim": 192, "num_heads": 3} if name == "blockwise" else ARGUMENTS
    augment = Augment(mixup=0.8, cutmix=1.0) if name == "mixed" else Augment()
    recipe = replace(RECIPE, augment=augment, distill=RECIPES[name], epochs=4, smoothing=0.0, arguments=wide)
    done = epochs_of(train(recipe, data, tmp_path / "out", teacher=teacher))
    assert done[-1].loss < done[0].loss
    kept = " ".join(load_file(tmp_path / "out/model.safetensors"))
    assert not any(part in kept for part in ("project", "hints", "lessons", "probe"))
    assert not list((tmp_path / "out").glob("teacher*"))
    run = train(recipe, data, tmp_path / "stopped", teacher=teacher)
    for step in run:
        if step.epoch == 3:
            break
    run.close()  # type: ignore[attr-defined]
    resumed = epochs_of(train(recipe, data, tmp_path / "stopped", teacher=teacher, resume=True))
    assert [row.loss for row in resumed] == [row.loss for row in done[2:]]
    assert (tmp_path / "out/model.safetensors").read_bytes() == (tmp_path / "stopped/model.safetensors").read_bytes()


def test_pictures_are_mixed_for_student_and_teacher_alike_and_not_for_its_probe(
    data: Data, tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studied: list[TrainingBatch] = []
    taught: list[TrainingBatch] = []
    study, answer = Teacher.study, Teacher.answer
    monkeypatch.setattr(Teacher, "study", lambda self, batches: study(self, (studied.append(b) or b for b in batches)))
    monkeypatch.setattr(Teacher, "answer", lambda self, batch: taught.append(batch) or answer(self, batch))
    augment = Augment(scale=(1.0, 1.0), flip=0.0, mixup=0.8)
    recipe = replace(RECIPE, augment=augment, distill=RECIPES["mixed"], epochs=1, smoothing=0.0)
    epochs_of(train(recipe, data, tmp_path / "out", teacher=teacher))
    assert all(batch.labels.amax(1).min() == 1 for batch in studied)
    seen = {index: image for batch in studied for index, image in zip(batch.index.tolist(), batch.images, strict=True)}
    mixed = [batch for batch in taught if batch.labels.amax(1).min() < 1]  # the others measured the channels' spread
    assert len(mixed) == len(studied)
    for batch in mixed:
        first, last = seen[batch.index[0].item()], seen[batch.index[-1].item()]
        share = (batch.images[0] - last).norm() / (first - last).norm()
        torch.testing.assert_close(batch.images[0], share * first + (1 - share) * last, atol=1e-5, rtol=0)


def test_the_teacher_is_asked_once_per_view(
    data: Data, tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    ask = Teacher._ask
    monkeypatch.setattr(Teacher, "_ask", lambda self, images: asked.append(len(images)) or ask(self, images))
    images = torch.rand(3, 3, 16, 16)
    two = TrainingBatch(images[:2], torch.zeros(2, 2), torch.tensor([4, 7]), 0, 0)
    three = TrainingBatch(images, torch.zeros(3, 2), torch.tensor([4, 7, 1]), 0, 0)

    def made(about: str) -> Teacher:
        new = Teacher(DISTILL, teacher, 2, preprocess_of(RECIPE), STUDENT)
        new.keep(tmp_path / "kept.bin", len(data[0]), about)
        return new

    kept = made("these views")
    first, both = kept.answer(two), kept.answer(three)
    assert asked == [2, 1]
    assert torch.equal(first.logits, both.logits[:2])
    assert torch.equal(first.levels, both.levels[:2])
    assert both.levels.shape == (3, 1, 5, 192)
    kept.save()
    again = made("these views").answer(two)
    assert asked == [2, 1]
    assert torch.equal(again.levels, first.levels)
    made("other views").answer(two)
    assert asked == [2, 1, 2]


def test_answers_that_the_disk_has_no_room_for_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"4 views of 1000000000 pictures take 8000\.0 GB, and .* fewer `views`"):
        KeptAnswers(tmp_path / "kept.bin", (4, 10**9, 1000), "")
    assert not list(tmp_path.iterdir())


def test_a_teacher_with_another_mean_sees_the_same_picture(teacher: Path) -> None:
    given = preprocess_of(RECIPE)
    other = replace(given, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    pixels = torch.rand(2, 3, 16, 16)
    answers = []
    for preprocess in (given, other):
        mean, std = (torch.tensor(values)[:, None, None] for values in (preprocess.mean, preprocess.std))
        batch = TrainingBatch((pixels - mean) / std, torch.zeros(2, 2), torch.arange(2), 0, 0)
        answers.append(Teacher(DISTILL, teacher, 2, preprocess, STUDENT).answer(batch).levels)
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
    with pytest.raises(ModelError, match="holds tokens of 192 numbers, those of `timm:vit_small_patch16_224` have 384"):
        start(replace(DISTILL, teacher="vit_small_patch16_224"))
    with pytest.raises(UnknownName, match=r'no timm model named "vit_tiny_patch16"\. Did you mean'):
        start(replace(DISTILL, teacher="vit_tiny_patch16"))
    with pytest.raises(ModelError, match="names class 1000, and `vit_tiny_patch16_224` has 1000"):
        start(replace(DISTILL, classes=(0, 1000)))
    with pytest.raises(ModelError, match="the student is a `ResNet`"):
        start(DISTILL, architecture="resnet10t", arguments={})
    with pytest.raises(ModelError, match="blocks 16 wide with 1 prefix tokens cannot start on the teacher's tokens"):
        start(replace(HINTED, blockwise=1))
