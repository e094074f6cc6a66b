"""`vitreous benchmark`: flags and plans become tables, and what is wrong is said in a line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.quick import quick
from tests.tiny import noise


@pytest.fixture
def data(run: Run) -> str:  # in the folder that `run` goes to
    for at in range(4):
        path = Path(f"animals/{('dog', 'hen')[at % 2]}/{at}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        noise(at).save(path)
    rows = [f"{('dog', 'hen')[at % 2]}/{at}.png,5,5,{20 + at},20" for at in range(4)]
    Path("animals/boxes.csv").write_text("\n".join(["file,x0,y0,x1,y1", *rows]))
    return "folder:animals"


def test_flags(run: Run, folder: Path, data: str) -> None:
    words = (
        "benchmark",
        data,
        "--model",
        folder,
        "--method",
        "ag_cam, rollout",
        "--metric",
        "cor_loc,perturbation:chefer",
    )
    done = run(*words, "--limit", "3", "--batch-size", "2", "--reference", "rollout")
    assert done.exit_code == 0, done.output
    for said in ("cor_loc ·", "perturbation:chefer ·", "ag_cam", "random", "edges", "differs from rollout", "3  "):
        assert said in done.stdout
    assert "Tables: benchmark/summary.md, benchmark/summary.csv" in done.stdout
    assert Path("benchmark/summary.html").is_file()


def test_rows_of_ones_own_and_their_settings(run: Run, folder: Path, data: str) -> None:
    own = "vitreous.data.readers.folder:read_folder"
    words = ("benchmark", data.replace("folder", own), "--model", folder)
    rows = ("--method", "rollout,vitreous.methods.edges:Edges", "--metric", "vitreous.metrics.localization:Pointing")
    some = "vitreous.methods.edges:Edges.grid=3", "vitreous.metrics.localization:Pointing.tolerance=2"
    done = run(*words, *rows, *(each for setting in some for each in ("--set", setting)))
    assert done.exit_code == 0, done.output
    said = json.loads(Path("benchmark/manifest.json").read_text())["plan"]
    assert said["methods"] == {"rollout": {}, "vitreous.methods.edges:Edges": {"grid": 3}}
    assert said["metrics"] == {"vitreous.metrics.localization:Pointing": {"tolerance": 2}}


def test_a_plan_and_flags_before_it(run: Run, folder: Path, data: str) -> None:
    Path("plan.toml").write_text(
        f"dataset = '{data}'\nmodels = ['{folder}']\nlimit=1\nmethods = ['ag_cam']\nmetrics = ['energy_pointing']\n"
    )
    done = run("benchmark", "--plan", "plan.toml", "--limit", "2", "--output", "here")
    assert done.exit_code == 0, done.output
    assert "energy_pointing takes boxes for masks, since folder:animals has no masks." in done.stdout
    assert "of 2 pictures" in done.stdout
    assert Path("here/manifest.json").is_file()


PRESETS = {
    "ag_cam": ("box_overlap ·", "abpc", "attention_grad_cam"),
    "chefer": ("segmentation ·", "perturbation ·", "partial_lrp"),
    "mgrw": ("segmentation ·", "class_ap_11", "mgrw_fine", "score_cam", "relevance_cam"),
}


@pytest.mark.parametrize("preset", quick(PRESETS, ["ag_cam"]))
def test_a_preset(run: Run, folder: Path, data: str, preset: str) -> None:
    done = run("benchmark", data, "--model", folder, "--preset", preset)
    assert done.exit_code == 0, done.output
    for words in PRESETS[preset]:
        assert words in done.stdout


def test_a_narrow_terminal_cuts_nothing(run: Run, folder: Path, data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    done = run("benchmark", data, "--model", folder, "--method", "attention_grad_cam", "--metric", "segmentation")
    assert done.exit_code == 0, done.output
    assert all(name in done.stdout for name in ("attention_grad_cam", "pixel_accuracy", "recall"))
    assert "…" not in done.stdout


def test_refusals_are_listed(run: Run, folder: Path, data: str, refusal: str) -> None:
    done = run("benchmark", data, "--model", folder, "--method", f"ag_cam,{refusal}", "--metric", "cor_loc")
    assert done.exit_code == 0
    assert "refusal does not apply to" in done.stdout
    assert "not on a Monday" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "names no data set"),
        (("flder:x",), 'no kind of data set named "flder". Did you mean "folder"?'),
        (("folder:nowhere",), "there is no folder or zip archive `nowhere`"),
        (("folder:animals", "--method", "agcam"), 'Did you mean "ag_cam"?'),
        (("folder:animals", "--metric", "sacco"), 'Did you mean "saco"?'),
        (("folder:animals", "--metric", "perturbation:rice"), 'Did you mean "rise"?'),
        (("folder:animals", "--preset", "agcam"), 'no preset named "agcam". Did you mean "ag_cam"?'),
        (("folder:animals", "--target", "cat"), 'no value of `target` named "cat". Known: predicted, label.'),
        (("folder:animals", "--reference", "saco"), 'no reference method named "saco"'),
        (("--plan", "none.toml"), "there is no plan at none.toml"),
    ],
)
def test_what_is_wrong_is_said(run: Run, folder: Path, data: str, words: tuple[str, ...], said: str) -> None:
    assert data
    done = run("benchmark", *words, *(() if "--plan" in words else ("--model", folder)))
    assert done.exit_code in (1, 2), done.output
    assert said in done.stderr
    assert "Traceback" not in done.output


def test_the_extra_is_named(run: Run, folder: Path, data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = run("benchmark", data, "--model", folder)
    assert done.exit_code == 1
    assert "pip install 'vitreous[benchmark]'" in done.stderr


def test_help_teaches(run: Run) -> None:
    done = run("benchmark", "--help")
    for said in (
        "folder:PATH",
        "voc:",
        "--preset",
        "[metrics.segmentation]",
        "perturbation:chefer",
        "vitreous metrics",
    ):
        assert said in done.stdout


def test_how_models_are_read_is_in_the_plan_and_goes_after_flags(run: Run, folder: Path, data: str) -> None:
    Path("plan.toml").write_text(
        f"dataset = '{data}'\nmodels = ['{folder}']\nlimit=1\nmethods = ['raw_attention']\nmetrics = ['average_drop']\n"
        "[reading]\nlink = 'sigmoid'\ngrid = [4, 4]\npatches = '1:'\n"
    )
    for words, link in (((), "sigmoid"), (("--link", "softmax"), "softmax")):
        done = run("benchmark", "--plan", "plan.toml", "--output", link, *words)
        assert done.exit_code == 0, done.output
        manifest = json.loads(Path(link, "manifest.json").read_text())
        wanted = {"output": None, "link": link, "part": "", "call": None, "grid": [4, 4], "patches": "1:"}
        assert manifest["plan"]["reading"] == wanted
        assert manifest["models"][str(folder)]["reading"] == wanted
    done = run("benchmark", "--plan", "plan.toml", "--output", "sigmoid", "--link", "softmax")
    assert "`models." in done.stderr
    assert done.exit_code == 1


@pytest.mark.parametrize(
    ("said", "fact"),
    [
        ("reading = 'sigmoid'", "`reading` in plan.toml is 'sigmoid'. Give a section, [reading]."),
        ("[reading]\nlnk = 'sigmoid'", 'no setting of `reading` in plan.toml named "lnk". Did you mean "link"?'),
        ("[reading]\nlink = 'sigmod'", 'no link named "sigmod". Did you mean "sigmoid"?'),
        ("[reading]\ngrid = 4", "`grid` of `reading` in plan.toml is 4. Give two whole numbers or nothing."),
        ("[reading]\npatches = 'x'", "`patches` is 'x'. Give a range of the tokens"),
        ("[reading]\npatches = [1.5]", "`patches` of `reading` in plan.toml is [1.5]. Give"),
    ],
)
def test_a_plan_that_misreads_is_refused(run: Run, folder: Path, data: str, said: str, fact: str) -> None:
    rest = f"dataset = '{data}'\nmodels = ['{folder}']\nmethods = ['rollout']\nmetrics = ['average_drop']\n"
    Path("plan.toml").write_text(rest + said + "\n")
    done = run("benchmark", "--plan", "plan.toml")
    assert done.exit_code in (1, 2)
    assert fact in done.stderr
