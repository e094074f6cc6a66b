"""One request works at a time, the line before it is bounded, and who leaves frees the thread; no hook stays."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
import torch
from torch import nn

from tests.serving.conftest import in_a_loop
from vitreous.masking.forward import Progress
from vitreous.serving.cache import Cache, Gone
from vitreous.serving.work import Busy, Done, Step, Stopped, TookTooLong, Worker, stoppable
from vitreous.trace.changes import aside


def endless(model: nn.Module, ran: threading.Event) -> Callable[[Progress], str]:
    def do(progress: Progress) -> str:
        while True:
            model(torch.zeros(1))
            ran.set()
            progress(1, 2)

    return do


async def answer(worker: Worker, model: nn.Module, do: Callable[[Progress], str]) -> list[object]:
    return [each async for each in worker.follow(model, do)]


def test_who_leaves_frees_the_thread() -> None:
    model, ran = nn.Identity(), threading.Event()

    async def visit() -> list[object]:
        worker = Worker(1, 60.0)
        leaving = asyncio.ensure_future(answer(worker, model, endless(model, ran)))
        await asyncio.to_thread(ran.wait)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        try:
            return await answer(worker, model, lambda _: "next")
        finally:
            worker.close()

    assert in_a_loop(visit())[-1] == Done("next")
    assert not model._forward_pre_hooks


def test_the_line_is_bounded_and_who_leaves_it_makes_room() -> None:
    model, ran = nn.Identity(), threading.Event()

    async def visit() -> None:
        worker = Worker(1, 60.0)
        working = asyncio.ensure_future(answer(worker, model, endless(model, ran)))
        await asyncio.to_thread(ran.wait)
        waiting = worker.follow(model, lambda _: "waited")
        assert await anext(waiting) == Step(-1, 1)
        with pytest.raises(Busy, match="1 requests wait for the model already"):
            await answer(worker, model, lambda _: "no room")
        await waiting.aclose()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        last = asyncio.ensure_future(answer(worker, model, lambda _: "waited"))
        await asyncio.sleep(0)
        working.cancel()
        assert (await last)[-1] == Done("waited")
        worker.close()

    in_a_loop(visit())


def test_a_request_has_its_time() -> None:
    model = nn.Identity()

    async def visit() -> None:
        worker = Worker(1, 0.2)
        with pytest.raises(TookTooLong, match=r"0\.2 seconds"):
            await answer(worker, model, endless(model, threading.Event()))
        worker.close()

    in_a_loop(visit())


def test_closing_stops_all() -> None:
    model, ran = nn.Identity(), threading.Event()

    async def visit() -> None:
        worker = Worker(1, 60.0)
        working = asyncio.ensure_future(answer(worker, model, endless(model, ran)))
        await asyncio.to_thread(ran.wait)
        await asyncio.to_thread(worker.close)
        with pytest.raises(Busy, match="stopped"):
            await working

    in_a_loop(visit())


def test_a_model_that_catches_everything_is_stopped_too() -> None:
    class Stubborn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            try:
                return self.inner(x)
            except Exception:
                return x

    model, stop = Stubborn(), threading.Event()
    with pytest.raises(Stopped), stoppable(model.inner, stop, 60.0):  # noqa: PT012
        stop.set()
        model(torch.zeros(1))


def test_who_shares_the_model_is_not_stopped() -> None:
    model, stop, found = nn.Identity(), threading.Event(), list[torch.Tensor]()
    with stoppable(model, stop, 60.0):
        stop.set()
        other = threading.Thread(target=lambda: found.append(model(torch.ones(1))))
        other.start()
        other.join()
        with pytest.raises(Stopped), aside(), aside():
            model(torch.ones(1))
    assert found


def test_the_oldest_go_first() -> None:
    cache = Cache[str]("result", most=3, most_bytes=100)
    names = [cache.put(each, 40) for each in "ab"]
    assert cache.get(names[0]) == "a"
    names.append(cache.put("c", 40))
    with pytest.raises(Gone, match="this result is not held any more"):
        cache.get(names[1])
    assert cache.get(names[0]) == "a"
    assert cache.bytes == 80
    assert len({*names}) == 3
    assert all(len(name) >= 20 for name in names)
