"""`vitreous explain`: which classes are meant, what the scores stand for, and how the tokens lie."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import Run

FAST = ("--method", "ag_cam")


def test_the_classes_are_listed_with_their_probabilities(run: Run, folder: Path) -> None:
    done = run("explain", "--model", folder, *FAST)
    rows = [line.split("%")[0].rsplit(None, 1) for line in done.stdout.splitlines() if "%" in line]
    assert {name.strip() for name, _ in rows} == {"tabby, tabby cat", "dog", "hen", "7"}
    shares = [float(share) for _, share in rows]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.3)


def test_top_k(run: Run, folder: Path) -> None:
    done = run("explain", "--model", folder, *FAST, "--target", "top-2")
    assert done.exit_code == 0
    with np.load("explained/chelsea.npz") as maps:
        assert maps["ag_cam"].shape == (2, 4, 4)


def test_two_named_classes(run: Run, folder: Path) -> None:
    done = run("explain", "--model", folder, *FAST, "--target", "Tabby", "--target", "2")
    assert done.exit_code == 0
    with np.load("explained/chelsea.npz") as maps:
        assert maps["target"].tolist() == [0, 2]
        assert maps["ag_cam"].shape == (2, 4, 4)
    again = run("reproduce", "explained")
    assert again.exit_code == 0, again.output


def test_a_class_by_name_and_another_output(run: Run, folder: Path) -> None:
    done = run("explain", "--model", folder, *FAST, "--target", "Tabby", "--output", "a/b", "--dtype", "float64")
    assert done.exit_code == 0
    with np.load("a/b/chelsea.npz") as maps:
        assert maps["target"].tolist() == [0]
        assert maps["ag_cam"].dtype == np.float64


def test_the_output_and_the_kind_of_scores_can_be_named(run: Run, folder: Path) -> None:
    done = run("explain", "--model", folder, *FAST, "--link", "sigmoid")
    assert done.exit_code == 0
    shares = [float(line.split("%")[0].rsplit(None, 1)[1]) for line in done.stdout.splitlines() if "%" in line]
    assert abs(sum(shares) - 100) > 1, "each class has a probability of its own"
    assert json.loads(Path("explained/manifest.json").read_text())["reading"] == {
        "output": None,
        "link": "sigmoid",
        "part": "",
        "call": None,
        "grid": None,
        "patches": None,
    }
    done = run("explain", "--model", folder, *FAST, "--link", "identity", "--target", "1")
    assert done.exit_code == 0
    assert "%" not in done.stdout
    for code, words, said in (
        (2, ("--link", "sigmoids"), 'no link named "sigmoids". Did you mean "sigmoid"?'),
        (2, ("--model-output", "scores"), 'named "scores". Known: (it is one tensor). Leave out'),
        (2, ("--model-output", "1"), 'named "1". Known: (it is one tensor). Leave out'),
        (1, ("--link", "identity"), "gives 4 values and no classes, so none of them is predicted"),
    ):
        done = run("explain", "--model", folder, *FAST, *words)
        assert done.exit_code == code, done.output
        assert said.replace("`default`", f"`{folder}`") in done.stderr.replace("\n", " ")
        assert "Traceback" not in done.output


def test_what_cannot_be_measured_is_said_by_flags(run: Run, folder: Path) -> None:
    heat: list[Any] = []
    for words in ((), ("--grid", "4,4", "--patches", "1:"), ("--part", "blocks", "--call", "0")):
        done = run("explain", "--model", folder, "--method", "raw_attention", *words)
        assert done.exit_code == 0, done.output
        heat.append(np.load("explained/chelsea.npz")["raw_attention"])
    assert np.array_equal(heat[0], heat[1])
    assert np.array_equal(heat[0], heat[2])
    said = json.loads(Path("explained/manifest.json").read_text())["reading"]
    assert (said["part"], said["call"]) == ("blocks", 0)
    for code, words, fact in (
        (
            1,
            ("--grid", "4,5"),
            "a 4×5 grid has 20 cells, but 16 of 17 tokens are patches. Give another grid= (--grid), or",
        ),
        (1, ("--grid", "4,4", "--patches", "0:"), "but 17 of 17 tokens are patches"),
        (1, ("--patches", "all"), "`patches` is 'all'. Give a range of the tokens, FIRST:END"),
        (2, ("--grid", "4x4"), "'4x4' is not two whole numbers."),
        (2, ("--call", "1"), 'no call named "1". Known: 0.'),
        (2, ("--part", "block"), 'no part named "block"'),
        (1, ("--part", "norm"), "`norm` of `VisionTransformer` ran without any attention"),
    ):
        done = run("explain", "--model", folder, "--method", "raw_attention", *words)
        assert done.exit_code == code, done.output
        assert fact in " ".join(done.stderr.replace("│", " ").split())


def test_names_of_the_classes(run: Run, folder: Path) -> None:
    Path("names.txt").write_text("a\nb\nc\nd\n")
    done = run("explain", "--model", folder, *FAST, "--class-names", "names.txt", "--target", "c")
    assert done.exit_code == 0, done.stderr
    told = json.loads(Path("explained/manifest.json").read_text())
    assert told["class_names"] == ["a", "b", "c", "d"]
    assert [each["name"] for each in told["pictures"][0]["targets"]] == ["c"]
    Path("names.txt").write_text("a\nb\n")
    done = run("explain", "--model", folder, *FAST, "--class-names", "names.txt")
    assert (done.exit_code, done.stderr) == (1, "Error: there are 2 `class_names` for 4 classes. Give one for each.\n")


def test_a_bad_grid_is_said_once_and_fails(run: Run, folder: Path) -> None:
    said = "a 5×5 grid has 25 cells, but 16 of 17 tokens are patches."
    done = run("explain", "--model", folder, "--grid", "5,5")
    assert done.exit_code == 1
    assert done.stderr.count(said) == 1
    assert "No map by ag_cam, transformer_attribution, rollout: " + said in done.stderr
    done = run("explain", "--model", folder, "--grid", "5,5", "--method", "ag_cam,rollout", "--output", "none")
    assert (done.exit_code, done.stderr.count(said)) == (1, 1)
    assert run("explain", "--model", folder, "--grid", "4,4", "--output", "right").exit_code == 0
