"""`vitreous train`, from recipe file to model folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.training.test_classify import RECIPE, dark_and_light
from vitreous.cli.train import train
from vitreous.errors import DataError
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


def test_shipped_recipes_are_listed() -> None:
    said = CliRunner().invoke(APP, ["--list"], catch_exceptions=False).stdout
    assert "salg_t    SALG-T from scratch" in said
    assert "deit      DeiT-S" in said
