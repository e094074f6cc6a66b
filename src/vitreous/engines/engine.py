"""What runs a function on many tasks, and the plainest: this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeVar

__all__ = ["Engine", "InProcess"]

T = TypeVar("T")
R = TypeVar("R")


class Engine(Protocol):
    """What runs a function on many tasks. A task that is given to two workers must do no harm: it may be repeated."""

    def run(self, start: Callable[[], Callable[[T], R]], tasks: Iterable[T]) -> Iterator[R]:
        """What the function gives for each task, as they are done, in any order.

        Args:
            start: makes the function, once in every worker. It travels there, so it must be picklable, as must tasks
                and results.
            tasks: taken as workers become free, so that there may be any number of them.

        Raises:
            WorkerLost: a worker died, or none can be had.
            Exception: what the function raised.
        """
        ...


@dataclass(frozen=True)
class InProcess:
    """This process, one task after the other."""

    def run(self, start: Callable[[], Callable[[T], R]], tasks: Iterable[T]) -> Iterator[R]:
        """As `Engine` says, in the order of the tasks."""
        work: Callable[[T], R] | None = None
        for task in tasks:
            work = work or start()
            yield work(task)
