"""`vitreous verify`: tables and a plot from labelled pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.tiny import noise


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    for at in range(4):
        path = tmp_path / "pictures" / ("dog", "hen")[at % 2] / f"{at}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        noise(at).save(path)
    return f"folder:{tmp_path / 'pictures'}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("removal", "--place", "1", "--shares", "0.25,0.5"), "after block 1"),
        (("windows", "--calibrated", 2), "random as adaptive, static"),
        (("indicators", "--pairs", 8, "--limit", 2), "uncertainty"),
    ],
)
def test_a_table_and_a_plot(run: Run, folder: Path, pictures: str, words: tuple[str, ...], said: str) -> None:
    what, *options = words
    done = run("verify", what, pictures, "--model", folder, "--output", "found", *options)
    assert done.exit_code == 0, done.output
    assert said in Path("found/summary.md").read_text()
    assert "plot.svg" in done.stdout
    assert Path("found/plot.svg").read_text().endswith("</svg>\n")
    assert "data:image/svg+xml" in Path("found/summary.html").read_text()


def test_people_read_blocks_from_1_and_programs_from_0(run: Run, folder: Path, pictures: str) -> None:
    words = ("--block", "1", "--pairs", "3", "--limit", "1")
    done = run("verify", "indicators", pictures, "--model", folder, "--output", "found", *words)
    assert done.exit_code == 0, done.output
    for file in ("summary.md", "summary.tex", "summary.html"):
        assert "block 1" in (said := Path("found", file).read_text())
        assert "block 0" not in said
    assert ",block 0," in Path("found/summary.csv").read_text()
    assert json.loads(Path("found/manifest.json").read_text())["check"]["blocks"] == [0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("removal", "--place", "middle"), 'no place of removal named "middle"'),
        (("removal", "--shares", "half"), "is not numbers with commas between"),
        (("windows", "--indicator", "impact"), 'no indicator named "impact"'),
        (("indicators", "--block", "7"), 'no block named "7". Known: 1 … 2.'),
        (("indicators", "--block", "0"), "'0' is no block: they are counted from 1"),
        (("windows", "--labels", "guess"), 'no value of `labels` named "guess"'),
    ],
)
def test_what_cannot_be_is_said(run: Run, folder: Path, pictures: str, words: tuple[str, ...], said: str) -> None:
    what, *options = words
    done = run("verify", what, pictures, "--model", folder, *options)
    assert done.exit_code in (1, 2)
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.output


def test_the_help_says_whose_formulas_these_are(run: Run) -> None:
    assert "reconstruction after the abstract of arXiv 2203.05922" in " ".join(run("verify", "--help").output.split())


def test_how_the_model_is_read_is_in_the_manifest(run: Run, folder: Path, pictures: str) -> None:
    words = (
        "verify",
        "removal",
        pictures,
        "--model",
        folder,
        "--output",
        "found",
        "--shares",
        "0.5",
        "--place",
        "mask",
    )
    assert run(*words, "--grid", "4,4").exit_code == 0
    manifest = json.loads(Path("found/manifest.json").read_text())
    assert manifest["trial"]["reading"]["grid"] == [4, 4]
    other = run(*words, "--patches", "1:")
    assert other.exit_code == 1
    assert "holds results of other settings" in other.stderr
    del manifest["trial"]["reading"]  # an earlier version's
    Path("found/manifest.json").write_text(json.dumps(manifest))
    assert run(*words).exit_code == 0, "said nothing, as now"


def test_a_folder_in_which_nothing_was_measured_takes_other_settings(run: Run, folder: Path, pictures: str) -> None:
    words = ("verify", "removal", pictures, "--model", folder, "--output", "found", "--shares", "0.5", "--place")
    assert run(*words, "7").exit_code == 2  # there are not so many blocks
    assert run(*words, "1").exit_code == 0
    assert "holds results of other settings" in run(*words, "input").stderr
