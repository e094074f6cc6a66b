"""The command that measures on an accelerator, on the CPU and on toys."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from time import perf_counter
from types import ModuleType

import pytest
import torch

ROOT = Path(__file__).parents[2]


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    return importlib.import_module("benchmarks.device.runner")


def test_what_benchmarks_import_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    for file in (ROOT / "benchmarks").rglob("*.py"):
        if file.name not in ("__main__.py", "cam_cost.py"):  # a program; one that needs a library of others
            importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))


def test_what_is_there_is_not_measured_again_and_what_failed_is(runner: ModuleType, tmp_path: Path) -> None:
    calls: list[str] = []

    def part(name: str, *, fails: bool = False) -> object:
        def measure(_: object) -> list[object]:
            calls.append(name)
            if fails:
                raise ValueError("no such kernel")
            return [runner.Row("a ratio", 1.5, "×", at_most=1.2)]

        return measure

    setup = runner.Setup(torch.device("cpu"), tiny=True, deadline=perf_counter() + 60)
    parts = {"first": part("first"), "second": part("second", fails=True), "third": part("third")}
    results = [*runner.carry_out(parts, setup, tmp_path)]
    assert calls == ["first", "second", "third"], "one that fails does not keep the others from running"
    assert [bool(result["failed"]) for result in results] == [False, True, False]
    assert json.loads((tmp_path / "first.json").read_text())["rows"][0]["met"] is False
    parts["second"] = part("second")
    again = [*runner.carry_out(parts, setup, tmp_path)]
    assert calls[3:] == ["second"]
    assert [result["part"] for result in again] == [*parts]

    late = runner.Setup(torch.device("cpu"), tiny=True, deadline=perf_counter())
    known = [*runner.carry_out({**parts, "fourth": part("fourth")}, late, tmp_path)]
    assert [result["part"] for result in known] == [*parts], "no part begins when time is up"
    text = runner.table(known, ["fourth"])
    assert "| first | a ratio | 1.5 × | ≤ 1.2 | **no** |" in text
    assert "No time was left for fourth." in text


@pytest.mark.slow
def test_all_of_it_runs_on_toys(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.device", "--tiny", "--device", "cpu", "--output", str(tmp_path)]
    done = subprocess.run([*command, "--limit", "3000"], cwd=ROOT, capture_output=True, text=True, check=False)
    results = [json.loads(file.read_text("utf-8")) for file in (tmp_path / "cpu_tiny").glob("*.json")]
    assert not [result["failed"] for result in results if result["failed"]], done.stderr
    assert "No time was left" not in done.stdout
    for result in results:
        for row in result["rows"]:
            # speeds of toys say nothing; what a device computes must be what the CPU computes
            assert row["met"] is not False or result["part"].startswith("speed_"), (result["part"], row)


@pytest.mark.slow
def test_one_table_of_ratios(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.bench", "--tiny", "--device", "cpu", "--budget", "600"]
    command += ["--methods", "ag_cam,rollout", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (table,) = tmp_path.glob("*/table.md")
    rows = [line.split("|")[1:-1] for line in table.read_text("utf-8").splitlines() if line.startswith("| ")]
    assert [row[0].strip() for row in rows] == ["method", "ag_cam", "rollout"]
    assert all(float(cell) > 1 for row in rows[1:] for cell in row[1:3]), "an explanation runs the model"
