"""`vitreous evaluate`, on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.cli.conftest import Run
from tests.tiny import noise


def test_scores_are_printed_and_written(run: Run, folder: Path, tmp_path: Path) -> None:
    pixels = np.stack([np.asarray(noise(seed)) for seed in range(6)])
    arrays = {f"{split}_images": pixels for split in ("train", "val", "test")}
    labels = {f"{split}_labels": np.arange(6) % 4 for split in ("train", "val", "test")}
    np.savez(tmp_path / "set.npz", **arrays, **labels)
    done = run("evaluate", "set.npz", "--model", folder, "--output", "scores.json")
    assert done.exit_code == 0, done.output
    written = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert f"{written['scores']['top1']['value']:.4f}" in done.stdout
    assert written["split"] == "test"


def test_a_split_that_is_not_there_is_a_usage_error(run: Run, folder: Path) -> None:
    done = run("evaluate", "missing.npz", "--model", folder)
    assert done.exit_code == 1
    assert "there is no data set at missing.npz" in done.stderr


def test_the_output_is_tried_before_the_work(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("evaluate", "missing.npz", "--model", folder, "--output", "file/scores.json")
    assert (done.exit_code, done.stderr) == (
        1,
        "Error: `file` cannot be written: File exists. Choose another output folder.\n",
    )
