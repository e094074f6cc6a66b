"""`vitreous explain`: which methods, with which settings, and the best of them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run
from tests.tiny import noise

FAST = ("--method", "ag_cam")


def test_all_takes_the_methods_that_apply_and_are_quick(run: Run, folder: Path, refusal: str) -> None:
    done = run("explain", "--model", folder, "--method", "all")
    assert done.exit_code == 0
    assert f"No map by {refusal}: not on a Monday" in done.stderr
    found = {*np.load("explained/chelsea.npz").files}
    assert {"ag_cam", "grad_cam", "rollout"} < found
    assert not {"mgrw", "occlusion", "rise"} & found


def test_a_method_asked_for_must_apply(run: Run, folder: Path, refusal: str) -> None:
    done = run("explain", "--model", folder, "--method", f"{refusal},ag_cam")
    assert done.exit_code == 1
    assert f"No map by {refusal}: not on a Monday" in done.stderr
    assert Path("explained/chelsea.png").is_file()


def test_no_method_applies(run: Run, pooling: Path) -> None:
    done = run("explain", "--model", pooling, "--method", "ag_cam,rollout")
    assert done.exit_code == 1
    assert "no method applies" in done.stderr
    assert r"\x0a" not in done.stderr
    assert 'readout="mean"' in done.stderr


def test_the_usual_sheet_has_something_for_a_model_without_a_class_token(run: Run, pooling: Path) -> None:
    done = run("explain", "--model", pooling)
    assert done.exit_code == 0, done.output
    assert "No map by ag_cam" in done.stderr
    with np.load("explained/chelsea.npz") as maps:
        assert {"attn_lrp", "grad_cam"} <= set(maps.files)


def test_settings_reach_the_methods(run: Run, pooling: Path) -> None:
    words = ("--method", "rollout,raw_attention", "--set", "readout=mean")
    done = run("explain", "--model", pooling, *words)
    assert done.exit_code == 0, done.stderr
    written = json.loads(Path("explained/manifest.json").read_text())["methods"]
    assert written["rollout"]["settings"] == {"start_layer": 0, "readout": "mean"}


def test_a_setting_may_be_of_one_method_alone(run: Run, pooling: Path) -> None:
    words = ("--method", "rollout,raw_attention", "--set", "readout=mean", "--set", "rollout.start_layer=1")
    done = run("explain", "--model", pooling, *words)
    assert done.exit_code == 0, done.stderr
    written = json.loads(Path("explained/manifest.json").read_text())["methods"]
    assert written["rollout"]["settings"] == {"start_layer": 1, "readout": "mean"}
    assert written["raw_attention"]["settings"] == {"layers": "last", "of_scores": "softmax", "readout": "mean"}


def test_a_second_model_for_finer_blocks(run: Run, folder: Path) -> None:
    few = ("--set", "walks=20", "--set", "length=6")
    done = run("explain", "--model", folder, "--method", "mgrw", "--set", f"fine={folder}", *few, "--export", "csv")
    assert done.exit_code == 0, done.output
    assert "mgrw of" in done.stdout
    assert {"coarse", "fine"} <= {line.split()[0] for line in done.stdout.splitlines() if line.strip()}
    details = json.loads(Path("explained/manifest.json").read_text())["pictures"][0]["details"]["mgrw"]
    assert details[0]["coarse"]["walks"]
    with Path("explained/exports/chelsea/mgrw-blocks.csv").open() as file:
        rows = list(csv.DictReader(file))
    blocks = [{"level": level, **row} for level, found in details[0].items() for row in found["blocks"]]
    assert rows == [{name: str(value) for name, value in row.items()} for row in blocks]
    assert {row["kept"] for row in rows} == {"True", "False"}


@pytest.mark.slow
def test_the_best_method_is_measured_and_what_it_is_worth_is_said(run: Run, folder: Path) -> None:
    Path("few").mkdir()
    for at in range(2):
        noise(at).save(f"few/{at}.png")
    noise(5).save("mine.png")
    done = run("explain", "mine.png", "--model", folder, "--method", "best", "--choose-on", "few", "--trust-orders", 2)
    assert done.exit_code == 0, done.output
    assert "methods on 2 pictures" in done.stdout
    assert "no more than noise may be" in done.stdout
    assert "against 2 random orders of its patches" in done.stdout
    written = json.loads(Path("explained/manifest.json").read_text())
    (method,) = written["methods"]
    assert written["choice"]["method"] == method
    assert list(written["pictures"][0]["trust"][0]["maps"]) == [method]


def test_what_trust_and_choice_cannot_be_asked(run: Run, folder: Path) -> None:
    odd = run("explain", "--model", folder, *FAST, "--trust-orders", 3)
    assert odd.exit_code == 1
    assert "3 random orders are no pairs" in odd.stderr
    idle = run("explain", "--model", folder, *FAST, "--choose-on", ".")
    assert idle.exit_code == 2
    assert "--choose-on" in idle.stderr
