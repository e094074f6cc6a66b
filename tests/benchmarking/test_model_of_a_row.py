"""A row of a plan may explain another model than the table's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarking.benchmarks import CPU, numbers, plan
from tests.tiny import save_model
from vitreous.benchmarking.job import benchmark
from vitreous.benchmarking.plan import plan_metric, read_plan
from vitreous.errors import UnknownName


@pytest.fixture
def other(tmp_path: Path) -> str:
    """Another model, that is given pixels of another scale."""
    folder = save_model(tmp_path / "other", patch_size=4)
    about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    about["preprocess"]["mean"] = [0.4, 0.4, 0.4]
    (folder / "model.json").write_text(json.dumps(about), encoding="utf-8")
    return str(folder)


@pytest.mark.slow
def test_a_row_has_the_numbers_of_its_model(tmp_path: Path, dataset: str, spec: str, other: str) -> None:
    metrics = {"segmentation": {}, "perturbation": {"morf": "mean"}}
    rows = {"ag_cam": {}, "finer": {"use": "ag_cam", "model": other}}
    both = benchmark(plan(dataset, spec, methods=rows, metrics=metrics), tmp_path / "both", device=CPU)
    alone = benchmark(plan(dataset, other, methods={"ag_cam": {}}, metrics=metrics), tmp_path / "alone", device=CPU)
    found, expected = numbers(both), numbers(alone)
    for (row, metric, name), value in expected.items():
        if row == "ag_cam":
            assert found["finer", metric, name] == pytest.approx(value, rel=1e-5)
    cells = {(cell.method, cell.name): cell for cell in both.table.cells}
    assert {cell.model for cell in both.table.cells} == {Path(spec).name}
    difference = cells["finer", "pixel_accuracy"].value - cells["ag_cam", "pixel_accuracy"].value
    assert cells["finer", "pixel_accuracy"].difference == pytest.approx(difference)
    assert 0 < cells["finer", "pixel_accuracy"].p <= 1
    assert both.table.costs["forwards"][Path(spec).name, "finer"] == alone.table.costs["forwards"]["other", "ag_cam"]
    assert "finer explains other." in both.table.notes
    manifest = json.loads((tmp_path / "both" / "manifest.json").read_text())
    assert set(manifest["models"]) == {spec, other}


def test_a_plan_in_a_file_names_them(tmp_path: Path, dataset: str, other: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(
        f'dataset = "{dataset}"\n[methods.ag_cam]\n[methods.finer]\nuse = "ag_cam"\nmodel = "{other}"\n'
        "[metrics.segmentation]\n"
    )
    read = read_plan(path, {}, {})
    assert read.specs == ("default", other)
    assert read.rows_of(other) == ("finer",)
    assert "finer" not in read.rows_of("default")
    with pytest.raises(UnknownName, match="model"):
        plan_metric("segmentation", {"model": other})
