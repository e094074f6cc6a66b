"""What explaining costs beside its passes, on the samples and a tiny model."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from tests.tiny import save_model

ROOT = Path(__file__).parents[2]


def test_all_sides_are_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    folder = save_model(tmp_path / "model")
    given = ["--model", str(folder), "--methods", "ag_cam,rollout,raw_attention,generic_attention,grad_cam,layer_cam"]
    monkeypatch.setattr(sys, "argv", ["explain_cost", *given, "--batch", "2", "--repeats", "1", "--count", "0"])
    importlib.import_module("benchmarks.explain_cost").main()
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    table = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}
    assert {"forward", "methods", "explain"} <= table.keys()
    assert float(table["methods"][1]) == 1
    alone = {name: int(table[name][0]) for name in given[3].split(",")}
    assert table["all in one call"] == [str(alone["ag_cam"] + alone["rollout"] + alone["grad_cam"])]
