"""A benchmark that is run again: what is done stays, what is missing is done, and what does not fit is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.benchmarks import CPU, PICTURES, assert_same, plan
from vitreous.errors import DataError
from vitreous.jobs.benchmark.job import benchmark
from vitreous.jobs.benchmark.store import Key, Store
from vitreous.jobs.explain import explain


def test_what_is_done_is_not_done_again(
    tmp_path: Path, dataset: str, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = plan(dataset, spec, limit=3)
    benchmark(half, tmp_path, device=CPU)
    first = Store(tmp_path).read()
    heated: list[str] = []
    monkeypatch.setattr(
        "vitreous.jobs.benchmark.judging.explain",
        lambda *args, **named: heated.extend([type(args[2]).__name__] * len(args[1])) or explain(*args, **named),
    )
    again = benchmark(half, tmp_path, device=CPU)
    assert heated == []
    resumed = benchmark(replace(half, limit=0), tmp_path, device=CPU)
    assert sorted(heated) == sorted(["AGCAM", "Rollout", "Random", "CenterGaussian", "Edges"] * 3)
    fresh = benchmark(replace(half, limit=0), tmp_path / "fresh", device=CPU)
    assert_same(resumed, fresh)
    assert {cell.pictures for cell in again.table.cells} == {3}
    heated.clear()
    more = {**half.metrics, "cor_loc": {}}
    benchmark(replace(half, limit=0, metrics=more, methods={**half.methods, "legrad": {}}), tmp_path, device=CPU)
    assert heated.count("LeGrad") == PICTURES
    after = Store(tmp_path).read()
    key = Key(spec, "ag_cam", "box_overlap")
    assert len(after[key]) == 2 * len(first[key])
    assert {"ag_cam", "legrad", "rollout_1"} < json.loads((tmp_path / "manifest.json").read_text())["methods"].keys()


def test_an_interrupted_run_goes_on(tmp_path: Path, dataset: str, spec: str) -> None:
    def stop(_: object) -> None:
        if len(list((tmp_path / "results").glob("*.parquet"))) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        benchmark(plan(dataset, spec), tmp_path, device=CPU, tell=stop)
    assert len(Store(tmp_path).read()[Key(spec, "", "")]) == 4
    resumed = benchmark(plan(dataset, spec), tmp_path, device=CPU)
    assert_same(resumed, benchmark(plan(dataset, spec), tmp_path / "fresh", device=CPU))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"target": "label"}, "`target` was predicted, and is label"),
        ({"whole": True}, "`whole` was False, and is True"),
        ({"methods": {"ag_cam": {}, "rollout_1": {"use": "rollout"}}}, r"`methods\.rollout_1` was"),
        ({"metrics": {"average_drop": {"fill": "black"}}}, r"`metrics\.average_drop` was"),
    ],
)
def test_results_of_another_plan_are_not_mixed(
    tmp_path: Path, dataset: str, spec: str, changes: dict[str, Any], said: str
) -> None:
    benchmark(plan(dataset, spec, limit=1), tmp_path, device=CPU)
    with pytest.raises(DataError, match=said):
        benchmark(plan(dataset, spec, **changes), tmp_path, device=CPU)


def test_a_folder_of_another_job_is_left_alone(tmp_path: Path, dataset: str, spec: str) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    benchmark(plan(dataset, spec, limit=1), tmp_path, device=CPU)
    (tmp_path / "manifest.json").write_text('{"pictures": []}')
    with pytest.raises(DataError, match="another job's results"):
        benchmark(plan(dataset, spec), tmp_path, device=CPU)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        benchmark(plan(dataset, spec), tmp_path, device=CPU)
