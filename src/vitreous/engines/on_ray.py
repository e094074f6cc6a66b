"""A Ray cluster, or Ray started on this machine."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, TypeVar

from vitreous.errors import ExplainWarning, MissingExtra, WorkerLost, first_sentence

__all__ = ["OnRay"]

T = TypeVar("T")
R = TypeVar("R")
_LIVES = 5
"""A task that has cost so many workers their lives is given up."""
_SHARED = 2**31
"""Bytes of shared memory, of Ray that is started here."""
_PATIENCE = 60.0
"""Seconds without any worker, after which somebody is told."""
_ANSWER = 10.0
"""Seconds that a worker has to say that it is there."""
_ASIDE = "aside"
"""The thread of a worker that answers while another is at work."""
_GIVEN_UP = 30
"""Times that somebody is told before nobody waits any longer: an autoscaling cluster takes minutes for a machine."""


@dataclass(frozen=True)
class OnRay:
    """Actors of Ray, each of which makes the function once. Ray places them, restarts them, and adds machines for them.

    Attributes:
        address: of a running cluster, "auto" for that of this machine; empty to start Ray here.
        workers: how many; None for as many as the cluster has room for as it is.
        threads: CPUs that each takes.
        gpu: each takes a GPU.
    """

    address: str = ""
    workers: int | None = None
    threads: int = 1
    gpu: bool = False

    def run(self, start: Callable[[], Callable[[T], R]], tasks: Iterable[T]) -> Iterator[R]:
        """As `Engine` says. A worker that dies is started again, and so is what it was at.

        Raises:
            WorkerLost: there is no cluster, a task has cost several workers their lives, or all workers are lost and
                none comes.
            MissingExtra: Ray is not installed.
        """
        left = iter(tasks)
        if (first := next(left, None)) is None:
            return
        with _ray(self.address, self.workers and self.workers * self.threads) as ray:
            count = self.workers or self._room(ray)
            needs = {"num_cpus": self.threads, "num_gpus": int(self.gpu)}
            lives = {"max_restarts": -1, "max_task_retries": _LIVES}
            worker = ray.remote(concurrency_groups={_ASIDE: 1})(_Worker).options(**needs, **lives)
            actors = [worker.remote() for _ in range(count)]
            try:
                yield from _share_out(ray, actors, [ray.put(start)], first, left)
            finally:
                for each in actors:
                    ray.kill(each)

    def _room(self, ray: Any) -> int:
        has = ray.cluster_resources()
        return max(1, int(has.get("GPU", 0) if self.gpu else has.get("CPU", 0) // self.threads))


class _Worker:
    """What an actor is. Ray makes it anew where it died, from nothing: what it is for comes with each task."""

    def __init__(self) -> None:
        self._work: Callable[[Any], Any] | None = None

    def ready(self) -> None:
        """Answer, once there."""

    def do(self, start: Sequence[Any], task: Any) -> Any:
        """One task, by what the reference in `start` makes; outside of a sequence Ray would copy it every time."""
        ray: Any = import_module("ray")
        work = self._work = self._work or ray.get(start[0])()
        return work(task)


def _share_out(ray: Any, actors: list[Any], start: Sequence[Any], first: T, left: Iterator[T]) -> Iterator[Any]:
    """A task at a time to each actor that is there: one that a cluster has no room for yet waits without any."""
    coming: dict[Any, Any] = {each.ready.remote(): each for each in actors}
    at_work: dict[Any, Any] = {}
    queue = [first]
    told = 0
    while at_work or queue:
        done, _ = ray.wait([*at_work, *coming], timeout=_PATIENCE)
        if not done:
            told = 0 if _is_any_there(ray, at_work.values()) else told + 1
            if told:
                _wait_on(told, ray.available_resources())
            continue
        told = 0
        (answer,) = done
        given = _given(ray, answer)
        if answer in at_work:
            free = at_work.pop(answer)
            yield given
        else:
            free = coming.pop(answer)
        queue = queue or [task for task in [next(left, None)] if task is not None]
        if queue:
            at_work[free.do.remote(start, queue.pop())] = free


def _is_any_there(ray: Any, actors: Iterable[Any]) -> bool:
    """Whether one answers: Ray starts those again that died, and waits for room as long as it takes."""
    asked = [each.ready.options(concurrency_group=_ASIDE, max_task_retries=0).remote() for each in actors]
    done, _ = ray.wait(asked, num_returns=len(asked), timeout=_ANSWER) if asked else ([], [])
    return any(_is_given(ray, each) for each in done)


def _is_given(ray: Any, answer: Any) -> bool:
    try:
        ray.get(answer)
    except ray.exceptions.RayError:
        return False
    return True


def _wait_on(told: int, free: Any) -> None:
    """Say that there is no worker.

    Raises:
        WorkerLost: it was said often enough.
    """
    missing = f"no worker has answered for {told * _PATIENCE:.0f} s; the cluster has {free} free."
    if told >= _GIVEN_UP:
        raise WorkerLost(f"{missing} Ask for fewer CPUs or GPUs a worker, or run again when there are machines.")
    warnings.warn(f"{missing} Wait for machines, or ask for fewer CPUs or GPUs a worker.", ExplainWarning, stacklevel=3)


def _given(ray: Any, answer: Any) -> Any:
    """What an actor gave, or raised."""
    try:
        return ray.get(answer)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise WorkerLost(
            f"Ray has lost workers: {first_sentence(error)}. Run again to go on; where memory was short, give each "
            "more of it, or take smaller batches."
        ) from None


@contextmanager
def _ray(address: str, cpus: int | None) -> Generator[Any]:
    """Ray, connected until the block ends; one that was connected before stays so.

    Args:
        address: of a cluster; empty to start Ray here.
        cpus: that it then takes itself to have; None for those that there are.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    if not address:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # it hears this machine alone
    try:
        ray: Any = import_module("ray")
    except ImportError:
        raise MissingExtra("ray", "cluster") from None
    if ray.is_initialized():
        yield ray
        return
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
    # by itself it would join a cluster that runs here, and take a third of the memory to share
    here: dict[str, Any] = {
        "address": "local",
        "num_cpus": cpus,
        "include_dashboard": False,
        "object_store_memory": _SHARED,
    }
    try:
        ray.init(**quiet, **({"address": address} if address else here))
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise WorkerLost(
            f"Ray cannot be reached at {address!r}: {first_sentence(error)}. Start it with `ray start --head`, or "
            "check the address."
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()
