"""Several processes of this machine."""

from __future__ import annotations

import os
import pickle
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Thread
from typing import Any, TypeVar

from vitreous.errors import ModelError, WorkerLost

__all__ = ["LocalProcesses"]

T = TypeVar("T")
R = TypeVar("R")
_made: dict[str, Any] = {}
"""Of a worker: what makes its function, then the function itself."""


@dataclass(frozen=True)
class LocalProcesses:
    """Worker processes on this machine, which end with the one that started them, however that ends.

    Attributes:
        workers: how many.
        gpus: what CUDA calls the GPUs that they share, worker after worker; empty for none.
    """

    workers: int
    gpus: tuple[str, ...] = ()

    def run(self, start: Callable[[], Callable[[T], R]], tasks: Iterable[T]) -> Iterator[R]:
        """As `Engine` says.

        Raises:
            ModelError: `start` cannot be sent to another process.
            WorkerLost: a worker died. The others are ended.
        """
        left = iter(tasks)
        if (first := next(left, None)) is None:
            return
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        numbers = context.SimpleQueue()
        for at in range(self.workers):
            numbers.put(self.gpus[at % len(self.gpus)] if self.gpus else "")
        pool = ProcessPoolExecutor(self.workers, context, _begin, (_pickled(start), theirs, numbers))
        whole = False
        try:
            waiting: set[Future[R]] = {pool.submit(_do, first)}
            waiting |= {pool.submit(_do, task) for task in islice(left, 2 * self.workers - 1)}
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                waiting |= {pool.submit(_do, task) for task in islice(left, len(done))}
                yield from (each.result() for each in done)
            whole = True
        except BrokenProcessPool:
            raise WorkerLost(
                f"one of {self.workers} worker processes has died, as when memory runs out. Run again to go on, with "
                'fewer workers where memory was short; in a script, start below `if __name__ == "__main__":`.'
            ) from None
        finally:
            if not whole:
                ours.close()  # which ends the workers at once, whatever they are at
            pool.shutdown(cancel_futures=True)
            ours.close()


def _pickled(start: object) -> bytes:
    try:
        return pickle.dumps(start)
    except Exception as error:  # pickle raises anything
        raise ModelError(
            f"the model or a method cannot be sent to other processes: {error}. Give the model by its name, or run in "
            "one process: workers=1."
        ) from None


def _begin(start: bytes, parent: Connection, numbers: Any) -> None:
    """A worker's first act."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that started it decides
    if number := numbers.get():
        os.environ["CUDA_VISIBLE_DEVICES"] = number
    Thread(target=_end_with, args=(parent,), daemon=True).start()
    _made["start"] = start


def _end_with(parent: Connection) -> None:
    """End this process when the other end of the pipe is closed, also by death."""
    try:
        parent.recv_bytes()
    except (EOFError, OSError):
        os._exit(1)


def _do(task: Any) -> Any:
    if "work" not in _made:
        _made["work"] = pickle.loads(_made["start"])()
    return _made["work"](task)
