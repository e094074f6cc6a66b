"""`vitreous evaluate`, on a tiny model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.cli.conftest import Run
from tests.tiny import noise
from vitreous.cli.confusions import confusion_lines


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
    assert f"calibration error {written['calibration_error']:.4f}" in done.stdout
    row = next(line for line in done.stdout.splitlines() if line.startswith("   0 "))
    assert row.split()[-4:] == [str(count or "·") for count in written["confusion"][0]]
    Path("names.txt").write_text("ant\nbee\ncat\ndog\n")
    done = run("evaluate", "set.npz", "--model", folder, "--class-names", "names.txt", "--output", "scores.json")
    assert json.loads((tmp_path / "scores.json").read_text())["class_names"] == ["ant", "bee", "cat", "dog"]
    Path("names.txt").write_text("0\n1\n2\n3\n4\n")
    done = run("evaluate", "set.npz", "--model", folder, "--class-names", "names.txt")
    assert done.exit_code == 1
    assert "the data has 4 classes" in done.stderr


def test_a_folders_class_scores_are_divided_on_demand(run: Run, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "own")
    pixels = np.stack([np.asarray(noise(seed)) for seed in range(6)])
    arrays = {f"{split}_images": pixels for split in ("train", "val", "test")}
    labels = {f"{split}_labels": np.arange(6) % 4 for split in ("train", "val", "test")}
    np.savez(tmp_path / "set.npz", **arrays, **labels)
    done = run("evaluate", "set.npz", "--model", "own", "--split", "val", "--calibrate")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "own" / "model.safetensors").read_bytes() != (folder / "model.safetensors").read_bytes()
    assert "Class scores are now divided by" in done.stdout


def test_of_many_classes_the_worst_confusions_are_named() -> None:
    few = list(confusion_lines(torch.tensor([[3, 1], [0, 0]]), ("cat", "dog")))
    assert few[0].split() == ["class", "pictures", "recall", "as", "0", "1"]
    assert few[1].split() == ["0", "cat", "4", "75.0%", "3", "1"]
    assert few[2].split() == ["1", "dog", "0", "–", "·", "·"]
    assert few[0].endswith("1")
    assert len({line.rindex(end) for line, end in zip(few, ("1", "1", "·"), strict=True)}) == 1
    counts = torch.eye(31, dtype=torch.int64) * 5
    counts[2, 7], counts[2, 9], counts[2, 1], counts[2, 0] = 4, 6, 1, 2
    many = list(confusion_lines(counts, [f"class {at}" for at in range(31)]))
    assert many[3].split(maxsplit=5)[1:] == ["class", "2", "18", "27.8%", "class 9 6, class 7 4, class 0 2"]


def test_a_split_that_is_not_there_is_a_usage_error(run: Run, folder: Path) -> None:
    done = run("evaluate", "missing.npz", "--model", folder)
    assert done.exit_code == 1
    assert "there is no data set at missing.npz" in done.stderr


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this is a Mac, where it works")
def test_auto_takes_a_macs_gpu_where_nothing_needs_float64(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    done = run("evaluate", "set.npz", "--model", folder)
    assert done.exit_code == 1
    assert 'device "mps" cannot be used' in done.stderr


def test_the_output_is_tried_before_the_work(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("evaluate", "missing.npz", "--model", folder, "--output", "file/scores.json")
    assert (done.exit_code, done.stderr) == (
        1,
        "Error: `file` cannot be written: File exists. Choose another output folder.\n",
    )
