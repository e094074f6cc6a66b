"""An interrupt of any long command says how to go on, and the same command then ends as if there had been none."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.cli.test_owned import start, wait_for
from tests.training.test_classify import RECIPE, dark_and_light

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="signals")]


def training(tmp_path: Path) -> list[object]:
    (tmp_path / "r.toml").write_text(RECIPE.to_toml(), encoding="utf-8")
    data = dark_and_light(tmp_path / "set.npz")
    return ["train", "r.toml", "--data", data, "--device", "cpu", "--epochs", 12, "--output"]


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


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_a_training_ends_with_the_same_weights(tmp_path: Path, sent: signal.Signals) -> None:
    words = training(tmp_path)
    process = start(*words, "out", cwd=tmp_path)
    wait_for((tmp_path / "out" / "checkpoint.pt").is_file, process)
    process.send_signal(sent)
    out, said = process.communicate(timeout=120)
    assert process.returncode == (130 if sent == signal.SIGINT else -sent), said
    assert sent == signal.SIGKILL or "--resume goes on after the last whole epoch" in out
    for place, more in (("out", ["--resume"]), ("fresh", [])):
        done = start(*words, place, *more, cwd=tmp_path)
        _, said = done.communicate(timeout=300)
        assert done.returncode == 0, said
    weights = [(tmp_path / place / "model.safetensors").read_bytes() for place in ("out", "fresh")]
    assert weights[0] == weights[1]
    assert not list((tmp_path / "out").rglob(".part-*"))
