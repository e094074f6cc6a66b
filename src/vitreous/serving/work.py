"""The one thread that models run on: a line of bounded length before it, progress from it, and a way to stop it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import nn

from vitreous.errors import ExplainError
from vitreous.masking.forward import Progress
from vitreous.trace.changes import changes

__all__ = ["Busy", "Done", "Step", "Stopped", "TookTooLong", "Worker", "stoppable"]

T = TypeVar("T")


class Busy(ExplainError):
    """Too many wait for the model."""


class TookTooLong(ExplainError):
    """A request had its time."""


class Stopped(BaseException):
    """Nobody waits for the answer; an exception that no `except Exception` of a model's takes for its own."""


class _TimeIsUp(Stopped):
    """The time of the request is over."""


@dataclass(frozen=True)
class Step:
    """How far a request is.

    Attributes:
        done: forward passes; -1 while it waits in line.
        of: all of them; those before it, while it waits.
    """

    done: int
    of: int


@dataclass(frozen=True)
class Done(Generic[T]):
    """The answer."""

    value: T


class Worker:
    """Runs one request after another.

    Args:
        waiting: how many may wait.
        seconds: that each has.
    """

    def __init__(self, waiting: int, seconds: float) -> None:
        self._waiting, self._seconds = waiting, seconds
        self._thread = ThreadPoolExecutor(1, "model")
        self._line: list[threading.Event] = []

    async def follow(self, model: nn.Module, do: Callable[[Progress], T]) -> AsyncGenerator[Step | Done[T]]:
        """Steps, and at last the answer. Whoever leaves the generator stops the work, or leaves the line.

        Raises:
            Busy: too many wait.
            TookTooLong: its time was over.
            ExplainError: what `do` raises.
        """
        self.check_room()
        loop, news, stop = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
        steps: deque[Step] = deque(maxlen=1)  # only the last is worth telling

        def tell(done: int, of: int) -> None:
            told = not steps
            steps.append(Step(done, of))
            if told:
                loop.call_soon_threadsafe(news.set)

        def run() -> T:
            with stoppable(model, stop, self._seconds):
                return do(tell)

        def leave(_: Future[T]) -> None:
            self._line.remove(stop)
            news.set()

        self._line.append(stop)
        future = self._thread.submit(run)
        future.add_done_callback(lambda done: _soon(loop, leave, done))
        try:
            if len(self._line) > 1:
                yield Step(-1, len(self._line) - 1)
            while stop in self._line or steps:
                await news.wait()
                news.clear()
                while steps:
                    yield steps.popleft()
            yield Done(_result(future, self._seconds))
        finally:
            stop.set()
            future.cancel()

    async def answer(self, model: nn.Module, do: Callable[[Progress], T]) -> T:
        """The answer alone. Arguments and errors as for `follow`."""
        async for each in self.follow(model, do):
            if isinstance(each, Done):
                return each.value
        raise AssertionError("the last step is the answer")

    def check_room(self) -> None:
        """Refuse where the line is full.

        Raises:
            Busy: it is.
        """
        if len(self._line) > self._waiting:
            raise Busy(f"{self._waiting} requests wait for the model already. Try again in a moment.")

    def close(self) -> None:
        """Stop all that runs or waits."""
        for stop in self._line:
            stop.set()
        self._thread.shutdown(cancel_futures=True)


def _soon(loop: asyncio.AbstractEventLoop, do: Callable[[Future[T]], None], future: Future[T]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(do, future)


def _result(future: Future[T], seconds: float) -> T:
    try:
        return future.result()
    except _TimeIsUp:
        raise TookTooLong(
            f"the model had worked for {seconds:g} seconds, which is all that a request has. Choose fewer or quicker "
            "methods, or explain the picture by the command line."
        ) from None
    except (Stopped, CancelledError):
        raise Busy("this was stopped. Ask again.") from None


@contextmanager
def stoppable(model: nn.Module, stop: threading.Event, seconds: float) -> Generator[None]:
    """While the block runs, each pass of the model on this thread first looks whether somebody still waits for it.

    Raises:
        Stopped: nobody does, or its time is over.
    """
    end = time.monotonic() + seconds

    def look(_: Any) -> None:
        if stop.is_set():
            raise Stopped
        if time.monotonic() > end:
            raise _TimeIsUp

    if stop.is_set():
        raise Stopped
    with changes() as change:
        change.before(model, look, further_in=True)
        yield
