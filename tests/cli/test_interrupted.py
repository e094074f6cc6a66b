"""An interrupt of any command says how to go on, and it is true: the same command ends as if there had been none."""

from __future__ import annotations

import csv
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import Run
from tests.cli.owned import start, wait_for
from tests.tiny import noise
from tests.training.test_classify import RECIPE, dark_and_light

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


@pytest.fixture
def interrupt_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], None]:
    """An interrupt as the terminal sends it, at the n-th call of a function, once."""

    def interrupt(function: str, count: int) -> None:
        place, _, name = function.rpartition(".")
        __import__(place)
        real, calls = getattr(sys.modules[place], name), [0]

        def interrupted(*given: Any, **named: Any) -> Any:
            calls[0] += 1
            if calls[0] == count:
                signal.raise_signal(signal.SIGINT)
            return real(*given, **named)

        monkeypatch.setattr(sys.modules[place], name, interrupted)

    return interrupt


@pytest.fixture
def data(tmp_path: Path) -> None:
    """Two pictures, a set that `evaluate` needs two batches for, a recipe, and a set to learn from."""
    (tmp_path / "in").mkdir()
    for seed in range(2):
        noise(seed).save(tmp_path / "in" / f"{seed}.png")
    pixels = np.stack([np.asarray(noise(seed)) for seed in range(70)])
    np.savez(
        tmp_path / "set.npz",
        **{f"{split}_images": pixels for split in ("train", "val", "test")},
        **{f"{split}_labels": np.arange(70) % 4 for split in ("train", "val", "test")},
    )
    (tmp_path / "r.toml").write_text(RECIPE.to_toml(), encoding="utf-8")
    dark_and_light(tmp_path / "dark.npz")


EXPLAIN = "explain in --method rollout --output out --model"
AT = {
    "loading": (EXPLAIN, "vitreous.models.zoo.load", 1, "Stopped."),
    "choosing": (
        "explain in --method best --output out --model",
        "vitreous.explaining.choosing.open_for",
        2,
        "the choice is not made; it is begun anew when it is run again.",
    ),
    "page": (
        f"{EXPLAIN} FOLDER --report --model",
        "vitreous.reporting.models.write_pages",
        1,
        "Stopped; run it again to go on.",
    ),
    "evaluate": (
        "evaluate set.npz --model",
        "vitreous.evaluation.evaluate._scores",
        2,
        "Stopped after 64 of 70; it is begun anew when it is run again.",
    ),
    "average": (
        "interactions npz:set.npz --batch-size 8 --output out --model",
        "vitreous.interacting.averages.read_images",
        3,
        "Stopped after 16 of 70; an average is begun anew when it is run again.",
    ),
    "first epoch": (
        "train r.toml --data dark.npz --device cpu --epochs 2 --output",
        "vitreous.training.epochs.save_checkpoint",
        1,
        "Stopped; no epoch is whole yet, and the same command begins anew.",
    ),
}


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    "where", [pytest.param(name, marks=[pytest.mark.slow] if name == "choosing" else []) for name in AT]
)
def test_what_to_do_is_said_and_true(
    run: Run, folder: Path, where: str, interrupt_at: Callable[[str, int], None]
) -> None:
    command, function, count, said = AT[where]
    words = [folder if word == "FOLDER" else word for word in command.split()]
    words.append("trained" if words[0] == "train" else folder)
    interrupt_at(function, count)
    stopped = run(*words)
    assert stopped.exit_code == 130, stopped.output
    assert stopped.stderr.splitlines()[-1].endswith(said)
    again = run(*words)
    assert again.exit_code == 0, again.output
    if words[0] == "train":
        log = csv.DictReader(Path("trained/log.csv").read_text().splitlines())
        assert [row["epoch"] for row in log] == ["1", "2"]


@pytest.mark.usefixtures("data")
def test_what_is_resumed_is_not_begun_anew(run: Run, interrupt_at: Callable[[str, int], None]) -> None:
    words = ["train", "r.toml", "--data", "dark.npz", "--device", "cpu", "--epochs", "2", "--output", "trained"]
    interrupt_at("vitreous.training.epochs.save_checkpoint", 2)
    stopped = run(*words)
    assert stopped.exit_code == 130
    assert "Stopped; the same command with --resume goes on after the last whole epoch." in stopped.stderr
    assert "--resume" in run(*words).stderr  # which is refused without it
    assert run(*words, "--resume").exit_code == 0
    log = csv.DictReader(Path("trained/log.csv").read_text().splitlines())
    assert [row["epoch"] for row in log] == ["1", "2"]


@pytest.mark.usefixtures("data")
def test_a_reproduction_is_begun_anew(run: Run, folder: Path, interrupt_at: Callable[[str, int], None]) -> None:
    assert run(*EXPLAIN.split(), folder).exit_code == 0
    interrupt_at("vitreous.reproducing.pictures.compare_files", 1)
    stopped = run("reproduce", "out")
    assert stopped.exit_code == 130
    assert "Stopped; it is begun anew when it is run again." in stopped.stderr
    assert not Path("reproduced").exists()
    assert run("reproduce", "out").exit_code == 0


def training(tmp_path: Path) -> list[object]:
    (tmp_path / "r.toml").write_text(RECIPE.to_toml(), encoding="utf-8")
    data = dark_and_light(tmp_path / "set.npz")
    return ["train", "r.toml", "--data", data, "--device", "cpu", "--epochs", 12, "--output"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["benchmark", "verify"])
def test_what_is_resumed(folder: Path, dataset: str, tmp_path: Path, command: str) -> None:
    words: list[object] = {
        "benchmark": ["benchmark", dataset, "--method", "occlusion", "--metric", "perturbation", "--batch-size", 1],
        "verify": ["verify", "indicators", dataset, "--pairs", 64],
    }[command]
    words += ["--model", folder, "--output", "out"]
    process = start(*words, cwd=tmp_path)
    wait_for(lambda: list((tmp_path / "out" / "results").glob("*.parquet")), process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "run it again to go on" in said.splitlines()[-1]
    assert not list((tmp_path / "out").rglob(".part-*"))
    again = start(*words, cwd=tmp_path)
    _, said = again.communicate(timeout=300)
    assert again.returncode == 0, said
    assert (tmp_path / "out" / "summary.md").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_training_ends_with_the_same_weights(tmp_path: Path, sent: signal.Signals) -> None:
    words = training(tmp_path)
    process = start(*words, "out", cwd=tmp_path)
    wait_for((tmp_path / "out" / "checkpoint.pt").is_file, process)
    process.send_signal(sent)
    _, said = process.communicate(timeout=120)
    assert process.returncode == (130 if sent == signal.SIGINT else -sent), said
    assert sent == signal.SIGKILL or "--resume goes on after the last whole epoch" in said
    for place, more in (("out", ["--resume"]), ("fresh", [])):
        done = start(*words, place, *more, cwd=tmp_path)
        _, said = done.communicate(timeout=300)
        assert done.returncode == 0, said
    weights = [(tmp_path / place / "model.safetensors").read_bytes() for place in ("out", "fresh")]
    assert weights[0] == weights[1]
    assert not list((tmp_path / "out").rglob(".part-*"))
