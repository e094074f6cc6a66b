"""`vitreous reproduce` of what `vitreous detect` wrote, by a detector that has learned nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from tests.cli.conftest import Run
from tests.cli.spoiled import change, check_refused
from tests.models.test_detection import card
from tests.shapes_on_gray import NAMES, draw_set
from tests.tiny import noise
from vitreous.cli.main import app

EXPLAIN = ("detect", "explain", "coco/train/0.png", "--model", "detector", "--device", "cpu")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of two pictures, and a detector."""
    found = tmp_path_factory.mktemp("detect")
    draw_set(found / "coco", pictures=2)
    torch.manual_seed(0)
    made = replace(card("salg_st", embed_dim=8, depths=[1, 1, 1, 1]), class_names=NAMES)
    made.save(found / "detector", made.build().state_dict())
    return found


@pytest.fixture(scope="module")
def explained_once(place: Path) -> str:
    """What stands beside a sheet."""
    words = ["explain", place / "coco/train/0.png", "--model", place / "detector", "--device", "cpu"]
    made = CliRunner().invoke(app, ["detect", *map(str, words), "--output", str(place / "found.png")])
    assert made.exit_code == 0, made.output
    return (place / "found.json").read_text()


@pytest.fixture
def here(run: Run, place: Path, tmp_path: Path) -> Path:
    """The same, where commands run."""
    del run  # it goes there
    shutil.copytree(place, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_a_detection(run: Run, here: Path) -> None:
    made = run(*EXPLAIN, "--detection", 2, "--output", "out/found.png")
    assert made.exit_code == 0, made.output
    told = json.loads((here / "out" / "found.json").read_text())["run"]
    assert (told["picture"], told["model"], told["layer"]) == ("../coco/train/0.png", "detector", "")
    before = {file: file.read_bytes() for file in here.rglob("*") if file.is_file()}
    made = run("reproduce", "out/found.json")
    assert made.exit_code == 0, made.output
    same = (
        "found.json: the same to the bit\nfound.png: the same to the bit\nReproduced: 2 of 2 are the same to the bit."
    )
    assert same in made.output
    assert {file: file.read_bytes() for file in before} == before
    assert sorted(each.name for each in Path("reproduced").iterdir()) == ["found.json", "found.png"]


def test_another_detection_is_told(run: Run, here: Path, explained_once: str) -> None:
    (here / "found.json").write_text(explained_once)
    noise(1).save(here / "found.png")
    change("found.json", lambda values: values["run"].update(number=2))
    made = run("reproduce", "found.json")
    assert made.exit_code == 3
    assert "found.json: " in made.output
    assert "differ" in made.output
    assert "found.png: differs, and by no share of what was there" in made.output
    assert "Not reproduced: 0 of 2" in made.output


@pytest.mark.slow
def test_all_of_a_class_and_its_truth(run: Run, here: Path, explained_once: str) -> None:
    surest = json.loads(explained_once)
    words = ("--class", surest["class"], "--least", surest["score"] - 1e-6, "--truth", "coco", "--split", "train")
    made = run(*EXPLAIN, *words, "--output", "class.png")
    assert made.exit_code == 0, made.output
    made = run("reproduce", "class.json")
    assert made.exit_code == 0, made.output
    shutil.copytree("coco", "moved", copy_function=shutil.copy2)
    made = run("reproduce", "class.json", "--dataset", "moved", "--output", "other")
    assert made.exit_code == 0, made.output
    noise(3, (96, 64)).save(here / "moved" / "train" / "1.png")
    made = run("reproduce", "class.json", "--dataset", "moved", "--output", "third")
    assert made.exit_code == 1
    assert "`moved` is not what it was" in made.output


def test_another_picture_or_detector_is_told(run: Run, here: Path, explained_once: str) -> None:
    (here / "found.json").write_text(explained_once)
    change("found.json", lambda values: values["run"].update(model="detector"))
    torch.manual_seed(1)
    other = replace(card("salg_st", embed_dim=8, depths=[1, 1, 1, 1]), class_names=NAMES)
    other.save(here / "detector", other.build().state_dict())
    made = run("reproduce", "found.json")
    assert made.exit_code == 1
    assert "the weights of `detector` are not those of the manifest. Put back the file that it was." in made.output
    noise(3, (96, 64)).save(here / "coco" / "train" / "0.png")
    made = run("reproduce", "found.json")
    assert made.exit_code == 1
    assert "0.png` is not the `picture` of the manifest. Put back the file that it was." in made.output


def test_figures(run: Run, here: Path) -> None:
    made = run("detect", "evaluate", "--model", "detector", "--data", "coco", "--split", "train", "--device", "cpu")
    assert made.exit_code == 0, made.output
    beside = run("detect", "explain", "coco/train/0.png", "--model", "detector", "--device", "cpu")
    assert beside.exit_code == 0, beside.output
    made = run("reproduce", "average_precision.json")
    assert made.exit_code == 0, made.output
    assert "boxes: the same to the bit\nmasks: the same to the bit\nReproduced: 2 of 2" in made.output
    change("average_precision.json", lambda values: values["boxes"].update(ap=1.0))
    made = run("reproduce", "average_precision.json", "--output", "other")
    assert made.exit_code == 3
    assert "boxes: differs by " in made.output
    change("average_precision.json", lambda values: values.update(data="tests.cli.ran:Ran:x"))
    made = run("reproduce", "average_precision.json", "--output", "third")
    assert made.exit_code == 1
    assert "Say --dataset tests.cli.ran:Ran:x if you trust that code." in made.output
    change("average_precision.json", lambda values: values.update(data="coco"))
    noise(3, (96, 64)).save(here / "coco" / "train" / "0.png", compress_level=0)
    made = run("reproduce", "average_precision.json", "--output", "third")
    assert made.exit_code == 1
    assert "`coco` is not what it was" in made.output
    change("average_precision.json", lambda values: values.pop("device"))
    made = run("reproduce", "average_precision.json", "--output", "third")
    assert made.exit_code == 1
    assert "Run `vitreous detect evaluate` with the same options into a new place" in made.output


SPOILED: dict[str, Callable[[dict[str, Any]], object]] = {
    "no run": lambda values: values.update(run=None),
    "a run that is a word": lambda values: values.update(run="x"),
    "a number of a run": lambda values: values.update(run=7),
    "a sheet elsewhere": lambda values: values.update(sheet="../../elsewhere.exe"),
    "a sheet that is the figures": lambda values: values.update(sheet="found.json"),
    "no sheet": lambda values: values.pop("sheet"),
    "another job inside": lambda values: values["run"].update(job="batch", number=-1),
    "no picture": lambda values: values["run"].update(picture=None),
    "a list of pictures": lambda values: values["run"].update(picture=["a"]),
    "another hash": lambda values: values["run"].update(picture_sha256=3),
    "no method": lambda values: values["run"].update(method="no_such"),
    "a method of no layer": lambda values: values["run"].update(method="rollout"),
    "code": lambda values: values["run"].update(method="subprocess:Popen"),
    "no layer": lambda values: values["run"].update(layer="no.such"),
    "a huge number": lambda values: values["run"].update(number=10**30),
    "a number below": lambda values: values["run"].update(number=-1),
    "a number that is a word": lambda values: values["run"].update(number="2"),
    "a huge score": lambda values: values["run"].update(of_class="disc", least=1e300),
    "a class there is not": lambda values: values["run"].update(of_class="hen"),
    "no model": lambda values: values["run"].update(model="no_such"),
    "a model that is a number": lambda values: values["run"].update(model=7),
    "a truth that is a number": lambda values: values["run"].update(of_class="disc", truth=7),
    "another device": lambda values: values["run"].update(device="gpu 7"),
    "versions that are a list": lambda values: values.update(versions=[1]),
    "lacks a key": lambda values: values["run"].pop("least"),
}


@pytest.mark.parametrize("name", SPOILED)
def test_damaged_figures_are_refused(run: Run, here: Path, explained_once: str, name: str) -> None:
    (here / "found.json").write_text(explained_once)
    change("found.json", SPOILED[name])
    before = sorted(here.rglob("*"))
    check_refused(run, "found.json")
    assert sorted(here.rglob("*")) == before, "nothing is written"
