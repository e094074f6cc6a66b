"""Names of files that are no text, command a terminal, or hide: nothing crashes, is obeyed or lost."""

from __future__ import annotations

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from rich.table import Table
from rich.text import Text

from tests.cli.conftest import Run
from tests.training.test_classify import RECIPE
from vitreous.cli.console import Console
from vitreous.data.labelled import load_labelled
from vitreous.data.readers import open_samples
from vitreous.errors import DataError
from vitreous.files.names import printable

CLEAR = "\x1b[2J\x1b]0;owned\x07"
NOT_TEXT = os.fsdecode(b"caf\xe9")


def picture(path: Path, gray: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    ramp = Image.linear_gradient("L").resize((40, 40)).point(lambda value: (value + gray) % 256)
    ramp.convert("RGB").save(path)
    return path


def test_a_console_writes_control_characters_out() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=200, color_system="standard")
    table = Table(title=Text(f"class {CLEAR}", "bold"))
    table.add_column(Text("name"))
    table.add_row(Text(f"\u202egpj{CLEAR}"))
    console.print(table)
    console.print(Text(f"a{CLEAR}\rb\x9b2J"), soft_wrap=True)
    console.print("a\nError: none", soft_wrap=True, markup=False)
    said = stream.getvalue()
    assert "\x1b[1m" in said  # its own style
    assert "\\x1b[2J" in said
    assert "a\\x0aError: none" in said
    for command in ("\x1b[2J", "\x1b]", "\x07", "\r", "\x9b", "\u202e"):
        assert command not in said


def test_names_that_are_text_stay_as_they_are() -> None:
    for name in ("cat.jpg", "Ünï-猫.png", "👩‍🔬.webp", "a b"):
        assert printable(name) == name


@pytest.mark.parametrize("stem", [NOT_TEXT, f"x{CLEAR}", "y" * 240, "x\nError: lost"])
def test_odd_names_are_explained(run: Run, tmp_path: Path, stem: str) -> None:
    odd, plain = picture(tmp_path / "in" / f"{stem}.png"), picture(tmp_path / "in" / "plain.png", 10)
    done = run("explain", str(odd.parent), "--method", "ag_cam", "--output", str(tmp_path / "out"))
    assert done.exit_code == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert not any(line.startswith("Error") for line in (done.stdout + done.stderr).splitlines())
    files = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))["pictures"]
    assert {each["file"] for each in files} == {f"../in/{odd.name}", f"../in/{plain.name}"}
    assert len(list((tmp_path / "out").glob("*.png"))) == 2


def test_a_hidden_picture_before_its_namesake_loses_nothing(run: Run, tmp_path: Path) -> None:
    hidden, plain = picture(tmp_path / ".x.png"), picture(tmp_path / "x.png", 10)
    done = run("explain", str(hidden), str(plain), "--method", "ag_cam", "--output", str(tmp_path / "out"))
    assert done.exit_code == 0, done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {".x.png", ".x.npz", "x.png", "x.npz"} <= names


def test_a_wrong_name_is_said_without_commanding_the_terminal(run: Run) -> None:
    done = run("explain", f"nowhere{CLEAR}.png")
    assert done.exit_code == 1
    assert "\x1b" not in done.stderr
    assert "nowhere\\x1b[2J" in done.stderr


def test_data_sets_with_names_that_are_no_text(tmp_path: Path) -> None:
    for part in ("train", "val"):
        for kind in ("hen", NOT_TEXT):
            picture(tmp_path / part / kind / f"{NOT_TEXT}.png")
    train, _, fingerprint = load_labelled(tmp_path)
    samples = open_samples(f"folder:{tmp_path}:train")
    assert len(samples) == len(train) == 2
    assert len(fingerprint) == len(samples.fingerprint) == 64
    for text in (*samples.class_names, *train.class_names, *(entry.id for entry in samples.entries)):
        text.encode()
    assert [samples[at].picture.size for at in range(2)] == [(40, 40)] * 2


def test_names_that_are_written_alike_are_told(tmp_path: Path) -> None:
    for name in ("x\x07", "x\\x07"):
        picture(tmp_path / "hen" / f"{name}.png")
    with pytest.raises(DataError, match="two files whose names are both written"):
        open_samples(f"folder:{tmp_path}")


@pytest.mark.slow
def test_benchmark_and_train_take_names_that_are_no_text(run: Run, folder: Path, tmp_path: Path) -> None:
    for part in ("train", "val"):
        for at, kind in enumerate(("hen", f"{NOT_TEXT}{CLEAR.replace('/', '')}")):
            for gray in range(4):
                picture(tmp_path / "set" / part / kind / f"{NOT_TEXT}{gray}.png", 30 * gray + 90 * at)
    (tmp_path / "r.toml").write_text(replace(RECIPE, epochs=1).to_toml(), encoding="utf-8")
    words = ("--method", "rollout", "--metric", "average_drop", "--labels", "position", "--model", folder)
    judged = run("benchmark", "folder:set:val", *words, "--output", "judged")
    trained = run("train", "r.toml", "--data", "set", "--output", "trained", "--device", "cpu")
    for done in (judged, trained):
        assert done.exit_code == 0, done.output
        assert "\x1b" not in done.stdout + done.stderr
    names = json.loads((tmp_path / "trained" / "model.json").read_text(encoding="utf-8"))["class_names"]
    assert sorted(names) == sorted(["hen", printable(f"{NOT_TEXT}{CLEAR}")])
