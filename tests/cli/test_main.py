"""The command itself: help, version, listings, errors, and the installed program."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import vitreous
from tests.cli.conftest import Run
from vitreous.errors import ModelFailed
from vitreous.methods import METHODS
from vitreous.metrics import METRICS
from vitreous.models.card import CARD


def vitreous_command(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The real program, in its own process."""
    words = tuple(str(word) for word in words)
    return subprocess.run(
        [sys.executable, "-m", "vitreous", *words], capture_output=True, text=True, cwd=cwd, check=False, timeout=300
    )


def test_version(run: Run) -> None:
    done = run("--version")
    assert done.exit_code == 0
    assert done.stdout == f"vitreous {vitreous.__version__}\n"


@pytest.mark.parametrize(
    "command",
    [
        "benchmark",
        "detect",
        "evaluate",
        "explain",
        "inside",
        "interactions",
        "methods",
        "metrics",
        "models",
        "train",
        "verify",
    ],
)
def test_every_command_has_help(run: Run, command: str) -> None:
    done = run(command, "--help")
    assert done.exit_code == 0
    assert "Usage" in done.stdout


def test_every_option_of_explain_is_explained(run: Run) -> None:
    text = run("explain", "--help").stdout
    options = "model checkpoint method set target output batch-size device dtype alpha"
    for option in options.split():
        line = next(line for line in text.splitlines() if f"--{option} " in line)
        assert len(line.split()) > 5, line
    assert "vitreous explain cat.jpg --target top-3" in text


def test_help_keeps_its_asterisks(run: Run) -> None:
    assert "val/CLASS/*.jpg" in run("train", "--help").stdout


def test_what_the_disk_refuses_is_one_line(run: Run) -> None:
    done = run("train", f"{'long' * 99}.toml", "--data", "pictures")
    assert done.exit_code == 1
    assert done.stderr.endswith("File name too long. Check the path and its permissions.\n")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA"), RuntimeError("a bug")])
def test_too_little_memory_is_one_line_and_a_bug_keeps_its_traceback(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: RuntimeError
) -> None:
    def fail(_: str, **__: bool) -> None:
        raise error

    monkeypatch.setattr("vitreous.models.device.find_device", fail)
    done = run("evaluate", tmp_path)
    if isinstance(error, torch.OutOfMemoryError):
        assert done.exit_code == 1
        assert done.stderr == "Error: there is not enough memory. Free some, or take smaller batches or pictures.\n"
    else:
        assert done.exception is error


def test_no_command_shows_the_help(run: Run) -> None:
    assert "explain" in run().output


def test_an_unknown_command_is_a_usage_error(run: Run) -> None:
    done = run("explian")
    assert done.exit_code == 2
    assert "explain" in done.stderr


def test_methods_are_listed_with_source_and_settings(run: Run) -> None:
    done = run("methods")
    assert done.exit_code == 0
    for name, maker in METHODS.items():
        assert name in done.stdout
        assert maker.source.split(",")[0] in done.stdout  # type: ignore[attr-defined]
    assert "--set readout=class" in done.stdout


def test_metrics_are_listed_with_what_they_read_and_give(run: Run) -> None:
    done = run("metrics")
    assert done.exit_code == 0
    of = dict(zip(METRICS, re.split(rf"^(?:{'|'.join(METRICS)})$", done.stdout, flags=re.MULTILINE)[1:], strict=True))
    for name, maker in METRICS.items():
        assert maker.source.split(",")[0] in of[name]
        assert all(f"{number} {told.better} {told.meaning}" in of[name] for number, told in maker.quantities.items())
    assert "reads the object's boxes" in of["box_overlap"]
    assert "threshold = 0.5 " in of["box_overlap"]
    assert "perturbation:ag_cam, perturbation:chefer, perturbation:rise" in of["perturbation"]
    assert "misclassified = true " in of["perturbation"]
    assert "reads the method itself" in of["sensitivity_max"]
    assert "[metrics.NAME]" in of["sensitivity_max"]


def test_models_are_listed(run: Run) -> None:
    done = run("models")
    assert done.exit_code == 0
    assert all(spec in done.stdout for spec in ("default", "timm:NAME", "torchvision:NAME", "hf:ID"))


def test_debug_lets_the_error_through(run: Run) -> None:
    from vitreous.errors import DataError

    done = run("--debug", "explain", "missing.png")
    assert isinstance(done.exception, DataError)


def test_help_loads_nothing_heavy_of_its_own(tmp_path: Path) -> None:
    code = (
        "import sys, vitreous; before = set(sys.modules); sys.argv[1:] = ['explain', '--help']\n"
        "from vitreous.cli.main import run\n"
        "try: run()\n"
        "except SystemExit: print('HEAVY', {'torch', 'timm', 'torchvision', 'PIL'} & (set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "HEAVY set()" in done.stdout


@pytest.mark.slow
def test_the_real_program(tmp_path: Path, folder: Path) -> None:
    done = vitreous_command("explain", "--model", folder, "--target", "top-2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "explained" / "chelsea.png").is_file()


def test_the_real_program_fails_in_one_line(tmp_path: Path) -> None:
    done = vitreous_command("explain", "missing.png", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == "Error: there is no file or folder `missing.png`. Check the path.\n"


def test_what_a_model_raises_is_one_line_and_debug_shows_all(run: Run, folder: Path, tmp_path: Path) -> None:
    """A model whose card prepares pictures of another size than it takes."""
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    card = json.loads((broken / CARD).read_text())
    card["preprocess"] |= {"size": [40, 40], "resize": [40, 40]}
    (broken / CARD).write_text(json.dumps(card))
    for command in ("explain", "inside", "interactions"):
        done = run(command, "--model", broken)
        assert done.exit_code == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith(
            "Error: `VisionTransformer` failed on an input of (1, 3, 40, 40) float32: AssertionError: "
        )
        shown = run("--debug", command, "--model", broken).exception
        assert isinstance(shown, ModelFailed)
        assert isinstance(shown.__cause__, AssertionError)
