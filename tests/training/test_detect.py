"""Detectors: learned by heart from four pictures, judged, explained, resumed, and trained by two processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from tests.shapes_on_gray import draw_set
from tests.training.test_processes import torchrun
from vitreous.cli.main import app
from vitreous.data.objects import Scenes, read_scenes
from vitreous.errors import DataError, ModelError, UnknownName
from vitreous.explaining.detections import explain_detection, write_detection
from vitreous.metrics.average_precision import DetectionScore
from vitreous.models.card import ModelCard
from vitreous.models.detection.card import DetectorCard, load_detector
from vitreous.models.preprocess import Preprocess
from vitreous.training.detection.batches import training_batches
from vitreous.training.detection.detection_score import judge
from vitreous.training.detection.recipe import RECIPES, DetectionRecipe, read_detection_recipe
from vitreous.training.detection.train import train
from vitreous.training.log import DetectionEpoch, Judged, StepDone
from vitreous.training.processes import Processes
from vitreous.training.recipe import shipped_recipes

SALG = {"embed_dim": 16, "depths": [1, 1, 1, 1], "window_size": 4}
RECIPE = DetectionRecipe(
    "salg_st",
    epochs=8,
    norm=True,
    width=32,
    rois=16,
    shorter=(64,),
    longer=96,
    batch_size=4,
    lr=3e-3,
    milestones=(6,),
    warmup_steps=10,
    arguments=SALG,
)
BRIEF = replace(RECIPE, architecture="test_resnet", norm=False, arguments={}, epochs=2, width=8, rois=4, drop_path=0.1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_set(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="module")
def scenes(folder: Path) -> Scenes:
    return read_scenes(folder, "train")


@pytest.fixture(scope="module")
def learned(folder: Path, scenes: Scenes) -> Path:
    """A detector that has seen four pictures twenty times an epoch."""
    torch.manual_seed(0)
    list(train(RECIPE, (replace(scenes, scenes=[*scenes.scenes] * 20), scenes), folder / "learned"))
    return folder / "learned"


def judged(folder: Path, scenes: Scenes) -> DetectionScore:
    """A saved detector on all pictures, in one process."""
    scores: list[DetectionScore] = []

    def work() -> Iterator[Judged]:
        scores.append((yield from judge(load_detector(folder)[0], scenes, Processes(torch.device("cpu")))))

    assert [*work()] == [Judged(done, len(scenes)) for done in range(1, len(scenes) + 1)]
    return scores[0]


@pytest.mark.slow
def test_four_pictures_are_learned_by_heart(learned: Path, scenes: Scenes) -> None:
    card = DetectorCard.read(learned)
    assert card.class_names == ("square", "disc")
    score = judged(learned, scenes)
    assert (score.boxes.ap or 0) > 0.9
    assert (score.masks.ap or 0) > 0.8
    assert score.boxes.ap == pytest.approx(card.notes["box_ap"])
    assert json.loads((learned / "summary.json").read_text())["box_ap"] == pytest.approx(card.notes["box_ap"])


@pytest.mark.slow
def test_a_detection_is_explained_where_it_is(learned: Path, folder: Path, scenes: Scenes, tmp_path: Path) -> None:
    detector, card = load_detector(learned)
    picture, objects = scenes[0]
    for number in (1, 2):
        explained = explain_detection(detector, picture, number)
        box = explained.found.boxes[number - 1]
        true = objects.boxes[(objects.labels == explained.found.labels[number - 1]).nonzero()[0, 0]]
        torch.testing.assert_close(box, true, rtol=0, atol=3.0)
        left, top, right, bottom = box.round().int().tolist()
        y, x = divmod(int(explained.heatmap.argmax()), explained.heatmap.shape[1])
        scale = explained.heatmap.shape[0] / picture.height
        assert left - 8 <= x / scale < right + 8
        assert top - 8 <= y / scale < bottom + 8
    write_detection(tmp_path / "new" / "sheet.png", explained, card.class_names)
    with Image.open(tmp_path / "new" / "sheet.png") as page:
        assert page.size[0] > 600


def test_resumed_is_uninterrupted_to_the_bit(scenes: Scenes, tmp_path: Path) -> None:
    straight = [row for row in train(BRIEF, (scenes, scenes), tmp_path / "a") if isinstance(row, DetectionEpoch)]
    for event in train(BRIEF, (scenes, scenes), tmp_path / "b"):
        if isinstance(event, StepDone) and event.epoch == 2:
            break
    torch.rand(3), np.random.rand(3)  # the world goes on meanwhile
    resumed = list(train(BRIEF, (scenes, scenes), tmp_path / "b", resume=True))
    assert isinstance(resumed[-1], DetectionEpoch)
    assert replace(resumed[-1], seconds=0.0) == replace(straight[1], seconds=0.0)
    a, b = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["model"] for name in "ab")
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert len((tmp_path / "b" / "log.csv").read_text().splitlines()) == 3
    with pytest.raises(DataError, match="holds a run already"):
        next(iter(train(BRIEF, (scenes, scenes), tmp_path / "a")))
    with pytest.raises(DataError, match="made with another recipe"):
        next(iter(train(replace(BRIEF, lr=1.0), (scenes, scenes), tmp_path / "a", resume=True)))


def test_a_resumed_run_sees_pictures_as_its_backbone_did(scenes: Scenes, tmp_path: Path) -> None:
    seen = Preprocess((64, 64), (64, 64), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
    card = ModelCard(BRIEF.architecture, {}, ("a", "b"), seen)
    card.save(tmp_path / "classifier", card.build().state_dict())
    straight = train(BRIEF, (scenes, scenes), tmp_path / "a", backbone=tmp_path / "classifier")
    for event in train(BRIEF, (scenes, scenes), tmp_path / "b", backbone=tmp_path / "classifier"):
        if isinstance(event, StepDone) and event.epoch == 2:
            break
    resumed = train(BRIEF, (scenes, scenes), tmp_path / "b", resume=True)
    rows = [[row for row in run if isinstance(row, DetectionEpoch)][-1] for run in (straight, resumed)]
    assert rows[0].loss == rows[1].loss
    assert DetectorCard.read(tmp_path / "b").notes["backbone"] == str(tmp_path / "classifier")


@pytest.mark.slow
def test_two_processes_are_one_run(folder: Path, scenes: Scenes, tmp_path: Path) -> None:
    plain = replace(BRIEF, architecture="salg_st", arguments={**SALG, "embed_dim": 8}, epochs=1, norm=True)
    (tmp_path / "r.toml").write_text(plain.to_toml(), encoding="utf-8")
    said = torchrun(
        *("-m", "vitreous", "detect", "train", tmp_path / "r.toml", "--data", folder, "--train", "train"),
        *("--val", "train", "--output", tmp_path / "two", "--device", "cpu"),
    )
    assert said.count("epoch   1/1") == 1
    (alone,) = [row for row in train(plain, (scenes, scenes), tmp_path / "one") if isinstance(row, DetectionEpoch)]
    one, two = (torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["model"] for name in ("one", "two"))
    for key in one:
        if "running" not in key and "num_batches" not in key:
            torch.testing.assert_close(two[key], one[key], rtol=0, atol=1e-4)
    row = (tmp_path / "two" / "log.csv").read_text().splitlines()[1].split(",")
    assert float(row[1]) == pytest.approx(alone.loss, rel=1e-4)
    score = judged(tmp_path / "two", scenes)
    assert (float(row[3]), float(row[4])) == pytest.approx((score.boxes.ap, score.masks.ap))


def test_shares_are_disjoint_complete_and_turned_alike(scenes: Scenes) -> None:
    def images(rank: int, count: int) -> dict[int, list[torch.Tensor]]:
        return {at: images for at, images, _ in training_batches(recipe, scenes, 1, workers=0, rank=rank, count=count)}

    recipe = replace(RECIPE, together=1)
    whole, first, second = images(0, 1), images(0, 2), images(1, 2)
    assert sorted(whole) == sorted([*first, *second]) == [0, 1, 2, 3]
    for at, given in (first | second).items():
        assert torch.equal(given[0], whole[at][0])
    with pytest.raises(DataError, match="4 pictures per step cannot be dealt out to 3 processes in batches of 1"):
        images(0, 3)


def test_boxes_and_masks_turn_with_the_picture(scenes: Scenes) -> None:
    turned = replace(RECIPE, flip=1.0, together=1)
    for _, (image,), (target,) in training_batches(turned, scenes, 0, workers=0):
        for (left, top, right, bottom), mask, label in zip(
            target["boxes"].int().tolist(), target["masks"], target["labels"], strict=True
        ):
            rows, columns = mask.nonzero().unbind(1)
            assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (left, top, right, bottom)
            red, _, blue = image[:, mask.bool()].mean(1)
            assert (red > blue) == (label == 1)


def test_the_rate() -> None:
    recipe = DetectionRecipe("salg_t", 12, lr=1.0, milestones=(8, 11), warmup_steps=3)
    assert [recipe.rate(0, update) for update in (0, 1, 2, 3, 9)] == [0.25, 0.5, 0.75, 1, 1]
    assert [recipe.rate(epoch, 99) for epoch in (7, 8, 10, 11)] == pytest.approx([1, 0.1, 0.1, 0.01])


@pytest.mark.parametrize("name", shipped_recipes(RECIPES))
def test_recipes_are_the_papers(name: str) -> None:
    recipe = read_detection_recipe(shipped_recipes(RECIPES)[name])
    long = name.endswith("_3x")
    assert (recipe.epochs, recipe.milestones) == ((36, (27, 33)) if long else (12, (8, 11)))
    assert (recipe.lr, recipe.weight_decay, recipe.together) == (1e-4, 0.05, 2)
    assert (min(recipe.shorter), recipe.shorter[-1], recipe.longer) == (480, 800, 1333)


def test_refusals(scenes: Scenes, tmp_path: Path) -> None:
    def start(recipe: DetectionRecipe = BRIEF, held_out: Scenes = scenes, backbone: Path | None = None) -> None:
        next(iter(train(recipe, (scenes, held_out), tmp_path / "out", backbone=backbone)))

    with pytest.raises(UnknownName, match=r'no architecture named "salg"'):
        start(replace(BRIEF, architecture="salg"))
    with pytest.raises(ModelError, match="cannot be built with these arguments"):
        start(replace(BRIEF, arguments={"shape": 3}))
    with pytest.raises(
        DataError, match=r"knows 2 classes \(square, disc\), and `train` has 2 classes \(square, ring\)"
    ):
        start(held_out=replace(scenes, class_names=("square", "ring")))
    empty = replace(scenes, scenes=[replace(scene, annotations=[]) for scene in scenes.scenes])
    with pytest.raises(DataError, match="no object to validate with"):
        start(held_out=empty)
    with pytest.raises(DataError, match="no object to learn from"):
        empty.learnable()
    with pytest.raises(ModelError, match="there is no file"):
        start(backbone=tmp_path / "none.pth")
    with pytest.raises(ModelError, match=r"has no model\.json. Give a folder written by `vitreous detect train`"):
        load_detector(tmp_path)
    with pytest.raises(DataError, match="`batch_size` 4 is no multiple of `together` 3"):
        replace(BRIEF, together=3)
    with pytest.raises(DataError, match="Set that"):
        replace(BRIEF, arguments={"drop_path_rate": 0.1})
    with pytest.raises(DataError, match="Give one or more, above 0"):
        replace(BRIEF, shorter=())


@pytest.mark.slow
def test_the_commands(learned: Path, folder: Path, tmp_path: Path) -> None:
    runner, where = CliRunner(), ["--model", str(learned), "--device", "cpu"]
    out = str(tmp_path / "scores.json")
    said = runner.invoke(
        app, ["detect", "evaluate", *where, "--data", str(folder), "--split", "train", "--output", out]
    )
    assert said.exit_code == 0, said.output
    scores = json.loads(Path(out).read_text())
    assert f"{scores['boxes']['ap']:.1%}" in said.output
    assert scores["boxes"]["large"] is None
    picture = str(folder / "train" / "0.png")
    out = str(tmp_path / "sheet.png")
    said = runner.invoke(
        app, ["detect", "explain", picture, *where, "--detection", "2", "--output", out, "--window", "auto"]
    )
    assert said.exit_code == 0, said.output
    assert "square" in said.output
    assert Path(out).is_file()
    asked = ["detect", "explain", picture, *where, "--class", "square", "--output", str(tmp_path / "class.png")]
    said = runner.invoke(app, [*asked, "--truth", str(folder), "--split", "train"])
    assert said.exit_code == 0, said.output
    assert "1 right, 0 missed" in said.output
    for arguments, reason in (
        (["explain", picture, *where, "--truth", str(folder)], "--class"),
        ([*asked[1:], "--truth", str(folder), "--split", "test"], "Name one of its splits: train"),
        (["explain", picture, *where, "--detection", "99"], "number 99 is none of them"),
        (["explain", picture, *where, "--method", "rollout"], 'no setting of `rollout` named "layer"'),
        (["explain", picture, *where, "--layer", "pyramid.nose"], 'no layer named "pyramid.nose"'),
        (["evaluate", *where, "--data", str(folder), "--split", "test"], "Name one of its splits: train"),
        (["evaluate", "--model", str(folder), "--data", str(folder)], "has no model.json"),
        (["train", "salg", "--data", str(folder)], 'no recipe named "salg"'),
    ):
        said = runner.invoke(app, ["detect", *arguments])
        assert said.exit_code in (1, 2)
        assert reason in said.output
    assert "salg_t_3x" in runner.invoke(app, ["detect", "train", "--list"]).output
