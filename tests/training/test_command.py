"""`vitreous train`, from recipe file to model folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from tests.training.test_classify import RECIPE, dark_and_light
from vitreous.cli.main import app
from vitreous.cli.progress import training_shown
from vitreous.cli.train import train
from vitreous.errors import DataError
from vitreous.files.writing import alone_in
from vitreous.training.log import StepDone
from vitreous.training.recipe import read_recipe

APP = typer.Typer()
APP.command("train")(train)


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    (tmp_path / "r.toml").write_text(RECIPE.to_toml(), encoding="utf-8")
    data = dark_and_light(tmp_path / "set.npz")
    return [str(tmp_path / "r.toml"), "--data", str(data), "--output", str(tmp_path / "out"), "--device", "cpu"]


def test_trains_then_resumes_a_finished_run(arguments: list[str], tmp_path: Path) -> None:
    done = CliRunner().invoke(APP, [*arguments, "--epochs", "1", "--seed", "3"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "epoch   1/1  loss" in done.stdout
    used = read_recipe(tmp_path / "out" / "recipe.toml")
    assert (used.epochs, used.seed) == (1, 3)
    before = (tmp_path / "out" / "model.safetensors").read_bytes()
    again = CliRunner().invoke(APP, [*arguments, "--epochs", "1", "--seed", "3", "--resume"], catch_exceptions=False)
    assert again.exit_code == 0
    assert "loss" not in again.stdout
    assert "training loss" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == before
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["seed"] == 3


def test_tensorboard(arguments: list[str], tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    CliRunner().invoke(APP, [*arguments, "--epochs", "1", "--tensorboard"], catch_exceptions=False)
    assert len(list((tmp_path / "out" / "tensorboard").glob("events.*"))) == 1


def test_a_second_run_does_not_replace_the_first(arguments: list[str]) -> None:
    CliRunner().invoke(APP, [*arguments, "--epochs", "1"], catch_exceptions=False)
    with pytest.raises(DataError, match="holds a run already"):
        CliRunner().invoke(APP, [*arguments, "--epochs", "1"], catch_exceptions=False)


def test_one_training_a_folder(arguments: list[str], tmp_path: Path) -> None:
    with alone_in(tmp_path / "out"), pytest.raises(DataError, match="another run is writing to"):
        CliRunner().invoke(APP, [*arguments, "--epochs", "1"], catch_exceptions=False)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".lock"]


@pytest.mark.parametrize("name", ["log.csv", "model.json", "last", "teacher0.bin"])
def test_files_that_no_training_wrote_stay(arguments: list[str], tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("the user's own")
    with pytest.raises(DataError, match=f"{name}` is there already, and no `train` wrote it"):
        CliRunner().invoke(APP, [*arguments, "--epochs", "1"], catch_exceptions=False)
    assert {path.name for path in (tmp_path / "out").iterdir()} - {".lock", ".manifest.json.lock"} == {name}


def test_a_teacher_that_nobody_asks_is_refused(arguments: list[str]) -> None:
    with pytest.raises(DataError, match=r"learns from no teacher, and x\.pth was given"):
        CliRunner().invoke(APP, [*arguments, "--teacher", "x.pth"], catch_exceptions=False)


def test_shipped_recipes_are_listed() -> None:
    said = CliRunner().invoke(APP, ["--list"], catch_exceptions=False).stdout
    lines = dict(line.split("  ", 1) for line in said.splitlines())
    assert lines["salg_t"].lstrip().startswith("SALG-T from scratch")
    assert len({line.index(about.lstrip()) for line, about in zip(said.splitlines(), lines.values(), strict=True)}) == 1


def test_a_damaged_picture_is_named_by_a_worker_too(arguments: list[str], tmp_path: Path) -> None:
    with np.load(tmp_path / "set.npz") as archive:
        arrays = dict(archive)
    arrays["jpeg"][: arrays["offset"][1]] = 0
    np.savez(tmp_path / "set.npz", **arrays)
    done = CliRunner().invoke(app, ["train", *arguments, "--workers", "1"])
    assert done.exit_code == 1
    assert (
        done.stderr
        == "Error: picture 0 of the archive is not a picture of a known format. Convert it to PNG or JPEG.\n"
    )


def test_where_there_is_no_terminal_a_line_now_and_then_says_how_far_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for every, lines in ((0.0, 3), (1000.0, 0)):
        with training_shown(tmp_path, 2, every=every) as show:
            for step in range(3):
                show(StepDone(1, step + 1, 3, 0.5))
        said = capsys.readouterr().out.splitlines()
        assert sum(line.startswith("epoch 1 of 2, loss 0.500, ") for line in said) == lines
