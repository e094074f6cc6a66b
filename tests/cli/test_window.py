"""Gray pictures of 12 bits: every command that reads pictures takes the window that makes 8 bits of them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Run
from tests.tiny import noise

WINDOW = ("--window", "0,4080")  # sixteen times 255: exactly the 8 bits that the pictures were made of


@pytest.fixture
def pictures(run: Run) -> tuple[Path, Path]:  # in the folder that `run` goes to
    """The same pictures twice, of 8 bits and of 12, in splits and classes."""
    for split in ("train", "val", "test"):
        for at in range(8):
            name = f"{split}/class {at % 4}/{at}.png"
            gray = np.asarray(noise(at).convert("L"))
            for kind, pixels in (("plain", gray), ("deep", gray.astype(np.uint16) * 16)):
                Path(kind, name).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(Path(kind, name))
    return Path("plain"), Path("deep")


def _json(file: str) -> dict[str, Any]:
    return json.loads(Path(file).read_text())


def test_interactions_of_pictures_and_of_a_set(run: Run, folder: Path, pictures: tuple[Path, Path]) -> None:
    for place in ("{}/test/class 1/1.png", "folder:{}/test"):
        found: list[Any] = []
        for kind, words in zip(pictures, ((), WINDOW), strict=True):
            name = "average" if ":" in place else "1"
            done = run("interactions", place.format(kind), "--model", folder, "--output", name, *words)
            assert done.exit_code == 0, done.output
            found.append(np.load(f"{name}/{name}.npz")["strength"])
        assert np.array_equal(*found)
        assert _json(f"{name}/manifest.json")["window"] == [0, 4080]
    done = run("interactions", "deep/test/class 1/1.png", "--model", folder, "--window", "auto")
    assert done.exit_code == 0
    (entry,) = _json("interactions/manifest.json")["pictures"]
    lowest, highest = (
        np.asarray(Image.open("deep/test/class 1/1.png")).min(),
        np.asarray(Image.open("deep/test/class 1/1.png")).max(),
    )
    assert entry["window"] == [lowest, highest]


def test_evaluate(run: Run, folder: Path, pictures: tuple[Path, Path]) -> None:
    found: list[Any] = []
    for kind, words in zip(pictures, ((), (*WINDOW, "--workers", "1")), strict=True):
        done = run("evaluate", kind, "--model", folder, "--output", "found.json", *words)
        assert done.exit_code == 0, done.output
        found.append(_json("found.json"))
    assert found[0]["window"] is None
    assert found[1]["window"] == [0, 4080]
    for name in ("scores", "confusion", "calibration_error"):
        assert found[0][name] == found[1][name]


def test_benchmark_by_a_flag_and_by_a_plan(run: Run, folder: Path, pictures: tuple[Path, Path]) -> None:
    Path("plan.toml").write_text("window = [0, 4080]\n")
    words = ("--model", folder, "--method", "rollout", "--metric", "average_drop", "--limit", "3")
    found: list[Any] = []
    for kind, more in zip((*pictures, pictures[1]), ((), WINDOW, ("--plan", "plan.toml")), strict=True):
        place = f"{kind}-{len(found)}"
        done = run("benchmark", f"folder:{kind}/test", *words, "--output", place, *more)
        assert done.exit_code == 0, done.output
        with Path(place, "summary.csv").open() as table:
            rows = [row for row in csv.DictReader(table) if row["metric"] == "average_drop"]
        found.append([(row["method"], row["value"], row["low"], row["high"]) for row in rows])
        assert _json(f"{place}/manifest.json")["plan"]["window"] == ([0, 4080] if len(found) > 1 else None)
    assert found[0]
    assert found[0] == found[1]
    done = run("benchmark", "folder:deep/test", *words, "--output", "deep-1", "--window", "0,5000")
    assert done.exit_code == 1
    assert "`window` was [0.0, 4080.0], and is [0.0, 5000.0]" in done.stderr


@pytest.mark.slow
def test_verify(run: Run, folder: Path, pictures: tuple[Path, Path]) -> None:
    found: list[Any] = []
    for kind, more in zip(pictures, ((), WINDOW), strict=True):
        words = ("verify", "windows", f"folder:{kind}/test", "--model", folder, "--limit", "2", "--calibrated", "2")
        done = run(*words, "--output", kind / "found", *more)
        assert done.exit_code == 0, done.output
        found.append(Path(kind, "found", "summary.csv").read_text())
    assert found[0].replace("plain", "deep") == found[1]
    assert _json("deep/found/manifest.json")["trial"]["window"] == [0, 4080]


@pytest.mark.parametrize("command", ["interactions", "benchmark", "evaluate", "verify windows", "explain"])
def test_what_is_no_window_is_refused(run: Run, folder: Path, pictures: tuple[Path, Path], command: str) -> None:
    place = pictures[1] if command == "evaluate" else "folder:deep/test" if command != "explain" else "deep/test"
    done = run(*command.split(), place, "--model", folder, "--window", "4095,0")
    assert done.exit_code == 1
    assert "'4095,0' is no window. Give two numbers LOW,HIGH, the lower one first, or 'auto'." in done.stderr
