"""Engines run every task once and hand on what it gave or raised; several processes end with the one they serve."""

from __future__ import annotations

import os
import pickle
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from vitreous import errors
from vitreous.engines.choose import make_engine
from vitreous.engines.engine import InProcess
from vitreous.engines.on_ray import OnRay
from vitreous.engines.processes import LocalProcesses
from vitreous.errors import DataError, ExplainWarning, ModelError, ShapeError, UnknownName, WorkerLost


@dataclass(frozen=True)
class Squares:
    """A start: it may refuse a number."""

    refused: int = -1

    def __call__(self) -> Callable[[int], int]:
        return self.square

    def square(self, number: int) -> int:
        if number == self.refused:
            raise UnknownName("number", str(number), ["1", "2"])
        return number**2


def test_in_process() -> None:
    assert list(InProcess().run(Squares(), range(5))) == [0, 1, 4, 9, 16]
    with pytest.raises(UnknownName):
        list(InProcess().run(Squares(refused=2), range(5)))


@pytest.fixture
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other processes find this file."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setenv("RAY_worker_niceness", "0")  # as quick as whatever else runs here


@pytest.mark.slow
@pytest.mark.usefixtures("_importable")
def test_processes() -> None:
    assert sorted(LocalProcesses(2).run(Squares(), iter(range(20)))) == [number**2 for number in range(20)]
    with pytest.raises(UnknownName, match='no number named "2"'):
        list(LocalProcesses(2).run(Squares(refused=2), iter(range(5))))


@dataclass(frozen=True)
class Sleeper:
    """A start of what dies of 1 and sleeps through all else."""

    def __call__(self) -> Callable[[int], int]:
        return self.sleep

    def sleep(self, number: int) -> int:
        if number == 1:
            os._exit(9)
        time.sleep(120)
        return number


@pytest.mark.slow
@pytest.mark.usefixtures("_importable")
def test_a_worker_that_dies_ends_the_others() -> None:
    began = time.monotonic()
    with pytest.raises(WorkerLost, match="one of 2 worker processes has died"):
        list(LocalProcesses(2).run(Sleeper(), iter(range(5))))
    assert time.monotonic() - began < 60


@dataclass(frozen=True)
class Poison:
    """A start of what dies of 1, and notes each time in a folder."""

    folder: Path

    def __call__(self) -> Callable[[int], int]:
        return self.taste

    def taste(self, number: int) -> int:
        if number == 1:
            (self.folder / str(time.monotonic_ns())).touch()
            os._exit(9)
        return number


@pytest.mark.slow
@pytest.mark.usefixtures("_importable")
def test_a_task_that_kills_workers_of_ray_is_given_up(tmp_path: Path) -> None:
    with (
        warnings.catch_warnings(action="ignore", category=ExplainWarning),  # a busy machine starts none in a minute
        pytest.raises(WorkerLost, match=r"Ray has lost workers: .*Run again to go on"),
    ):
        list(OnRay(workers=1).run(Poison(tmp_path), iter(range(3))))
    assert len(list(tmp_path.iterdir())) == 6, "as many lives as the documentation says"


@pytest.mark.slow
@pytest.mark.usefixtures("_importable")
def test_ray_without_room_for_a_worker_is_told_of_and_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vitreous.engines.on_ray._PATIENCE", 0.5)
    monkeypatch.setattr("vitreous.engines.on_ray._GIVEN_UP", 2)
    with (
        pytest.warns(ExplainWarning, match="no worker has answered for 0 s"),
        pytest.raises(WorkerLost, match="no worker has answered for 1 s"),
    ):
        list(OnRay(workers=1, gpu=True).run(Squares(), [1]))


@dataclass(frozen=True)
class Slow:
    """A start of what takes its time."""

    seconds: float

    def __call__(self) -> Callable[[int], int]:
        return self.wait

    def wait(self, number: int) -> int:
        time.sleep(self.seconds)
        return number


@pytest.fixture
def cluster(_importable: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Ray cluster of a head without CPUs, to which machines may be added."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 2**27})
    yield made
    made.shutdown()


@pytest.mark.slow
def test_ray_that_loses_all_its_machines_is_told_of_and_given_up(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = cluster.add_node(num_cpus=1, object_store_memory=2**27)
    answers = OnRay(cluster.address, workers=1).run(Slow(3.0), iter(range(100)))
    assert next(answers) == 0
    monkeypatch.setattr("vitreous.engines.on_ray._PATIENCE", 0.5)
    monkeypatch.setattr("vitreous.engines.on_ray._ANSWER", 1.0)
    monkeypatch.setattr("vitreous.engines.on_ray._GIVEN_UP", 3)
    assert next(answers) == 1  # somebody at work for six times the patience is nobody lost
    cluster.remove_node(machine, allow_graceful=False)
    with pytest.warns(ExplainWarning, match="no worker has answered"), pytest.raises(WorkerLost, match="run again"):
        list(answers)


def test_what_cannot_be_sent() -> None:
    with pytest.raises(ModelError, match=r"cannot be sent to other processes: .*workers=1"):
        list(LocalProcesses(2).run(lambda: abs, [1]))


def test_nothing_to_do_starts_nothing() -> None:
    assert list(LocalProcesses(2).run(lambda: abs, [])) == []


def test_choosing() -> None:
    assert make_engine("local", workers=1) == InProcess()
    assert make_engine("local", workers=3) == LocalProcesses(3)
    with pytest.raises(UnknownName, match='no value of `engine` named "spark"'):
        make_engine("spark")
    with pytest.raises(ShapeError, match="the engine is local"):
        make_engine("local", "auto")
    with pytest.raises(ShapeError, match="at least 1; got 0"):
        make_engine("local", workers=0)


@pytest.mark.parametrize(
    "error",
    [
        DataError("no file."),
        UnknownName("method", "agcam", ["ag_cam"]),
        errors.MissingExtra("ray", "cluster"),
        errors.TooFewDigits("sums", "torch.bfloat16"),
        errors.DegenerateMap("constant", 3, "Look."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_travel(error: errors.ExplainError) -> None:
    there = pickle.loads(pickle.dumps(error))
    assert type(there) is type(error)
    assert (str(there), vars(there)) == (str(error), vars(error))
