"""A benchmark that is run again: what is done stays, what is missing is done, and what does not fit is refused."""

from __future__ import annotations

import json
import os
import pickle
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.benchmarking.benchmarks import CPU, assert_same, plan
from tests.cli.conftest import Refusal
from tests.tiny import PICTURES, save_pictures
from vitreous.benchmarking.job import benchmark
from vitreous.benchmarking.plan import BASELINES
from vitreous.errors import DataError, DegenerateMap
from vitreous.explaining.explain import explain
from vitreous.methods import METHODS
from vitreous.statistics.store import Key, Store
from vitreous.statistics.tables import Table, write_page, write_tables

pytestmark = pytest.mark.usefixtures("few_examples")

METHODS_OF_TWO = ("rollout", "raw_attention")


def test_what_is_done_is_not_done_again(
    tmp_path: Path, dataset: str, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = plan(dataset, spec, limit=3)
    benchmark(half, tmp_path, device=CPU)
    first = Store(tmp_path).read()
    heated: list[str] = []
    monkeypatch.setattr(
        "vitreous.benchmarking.measuring.explain",
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


@dataclass(frozen=True)
class Sent:
    """An engine whose worker gets all that another process would get, as it would come there."""

    def run(self, start: Any, tasks: Any) -> Iterator[Any]:
        work = pickle.loads(pickle.dumps(start))()
        return (pickle.loads(pickle.dumps(work(pickle.loads(pickle.dumps(task))))) for task in tasks)


def test_what_others_measure_is_the_same(
    tmp_path: Path, dataset: str, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "refusal", Refusal)
    asked = plan(dataset, spec, methods={"ag_cam": {}, "refusal": {}})
    here = benchmark(asked, tmp_path / "here", device=CPU)
    there = benchmark(asked, tmp_path / "there", device=CPU, engine=Sent())
    assert_same(here, there)
    assert here.refused == there.refused != []
    before = Store(tmp_path / "there").read()
    benchmark(asked, tmp_path / "there", device=CPU, engine=Sent())
    assert Store(tmp_path / "there").read() == before


def test_other_pictures_under_the_same_names_are_refused(tmp_path: Path, spec: str) -> None:
    (tmp_path / "data").mkdir()
    few = plan(save_pictures(tmp_path / "data"), spec, limit=1, methods={"rollout": {}})
    benchmark(few, tmp_path / "out", device=CPU, check=True)
    os.utime(tmp_path / "data" / "dog" / "0.png", (1e9, 1e9))
    with pytest.raises(DataError, match="give --check, which compares contents"):
        benchmark(few, tmp_path / "out", device=CPU)
    benchmark(few, tmp_path / "out", device=CPU, check=True)


def test_an_interrupted_run_goes_on(tmp_path: Path, dataset: str, spec: str) -> None:
    def stop(_: object) -> None:
        if len(list((tmp_path / "results").glob("*.parquet"))) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        benchmark(plan(dataset, spec), tmp_path, device=CPU, tell=stop)
    assert len(Store(tmp_path).read()[Key(spec, "", "")]) == 4
    resumed = benchmark(plan(dataset, spec), tmp_path, device=CPU)
    assert_same(resumed, benchmark(plan(dataset, spec), tmp_path / "fresh", device=CPU))


@pytest.mark.parametrize("fails", ["vitreous.benchmarking.measuring.explain", "vitreous.metrics.metric.Metric.of"])
def test_what_memory_was_lacking_for_is_tried_again(
    tmp_path: Path, dataset: str, spec: str, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """And what fails for good, as a constant map does, is not."""
    asked: list[int] = []

    def starved(*_: Any, **__: Any) -> Any:
        asked.append(1)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def degenerate(*_: Any, **__: Any) -> Any:
        asked.append(1)
        raise DegenerateMap("the map is constant", 0, "Take another method.")

    wanted = plan(dataset, spec, limit=1, methods={"rollout": {}}, metrics={"cor_loc": {}})
    for error in (starved, starved, degenerate):
        with monkeypatch.context() as patch:
            patch.setattr(fails, error)
            outcome = benchmark(wanted, tmp_path / "out", device=CPU)
        (said,) = [note for note in outcome.table.notes if "cor_loc says nothing" in note]
        assert "of any method on 1 picture " in said
        assert ("not enough memory. Run again" in said) == (error is starved)
    assert len(asked) == 3 * 4, "three runs of one method and three baselines"
    assert not benchmark(wanted, tmp_path / "out", device=CPU).table.cells, "the last failure stays"
    with monkeypatch.context() as patch:
        patch.setattr(fails, starved)
        benchmark(wanted, tmp_path / "other", device=CPU)
    resumed = benchmark(wanted, tmp_path / "other", device=CPU)
    assert {cell.method for cell in resumed.table.cells} == {"rollout", *BASELINES}
    assert not any("says nothing" in note for note in resumed.table.notes)


def test_two_runs_in_one_folder_keep_each_others_part(tmp_path: Path, dataset: str, spec: str) -> None:
    mine, other = (plan(dataset, spec, limit=1, methods={name: {}}, metrics={"cor_loc": {}}) for name in METHODS_OF_TWO)
    meanwhile = iter([lambda: benchmark(other, tmp_path, device=CPU)])

    def tell(_: object) -> None:
        for run in meanwhile:
            run()

    benchmark(mine, tmp_path, device=CPU, tell=tell)
    assert {*METHODS_OF_TWO} < json.loads((tmp_path / "manifest.json").read_text())["methods"].keys()


def test_a_refusal_is_kept_by_a_run_of_other_methods(
    tmp_path: Path, dataset: str, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(METHODS, "refusal", Refusal)
    wanted = plan(dataset, spec, limit=1, methods={"refusal": {}}, metrics={"cor_loc": {}})
    refused: list[Any] = []
    for methods in ({"refusal": {}}, {"ag_cam": {}}):
        benchmark(replace(wanted, methods=methods), tmp_path, device=CPU)
        refused.append(json.loads((tmp_path / "manifest.json").read_text())["models"][spec]["refused"])
    assert refused == [{"refusal": "not on a Monday. Come back tomorrow."}] * 2


def test_tables_of_two_runs_are_not_mixed(
    tmp_path: Path, dataset: str, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = (plan(dataset, spec, limit=1, methods={name: {}}, metrics={"cor_loc": {}}) for name in METHODS_OF_TWO)
    benchmark(other, tmp_path, device=CPU)
    thread = threading.Thread(target=lambda: benchmark(other, tmp_path, device=CPU))
    wrote: list[str] = []

    def tables(table: Table, folder: Path) -> list[Path]:
        wrote.append(f"{table.reference} tables")
        if not thread.ident:
            thread.start()
            thread.join(2)
        return write_tables(table, folder)

    def page(table: Table, *rest: Any) -> Path:
        wrote.append(f"{table.reference} page")
        return write_page(table, *rest)

    monkeypatch.setattr("vitreous.benchmarking.job.write_tables", tables)
    monkeypatch.setattr("vitreous.benchmarking.job.write_page", page)
    benchmark(mine, tmp_path, device=CPU)
    thread.join()
    assert wrote == [f"{row} {part}" for row in METHODS_OF_TWO for part in ("tables", "page")]


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
    for text, said in (("{}", "of no command of vitreous"), ('{"job": "explain"}', "of `explain`, not of `benchmark`")):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(DataError, match=said):
            benchmark(plan(dataset, spec), tmp_path, device=CPU)
        assert (tmp_path / "manifest.json").read_text() == text
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(DataError, match="is not JSON"):
        benchmark(plan(dataset, spec), tmp_path, device=CPU)
