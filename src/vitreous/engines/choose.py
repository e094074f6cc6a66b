"""Engines by a word."""

from __future__ import annotations

import os

import torch

from vitreous.engines.engine import Engine, InProcess
from vitreous.engines.processes import LocalProcesses
from vitreous.errors import ShapeError, check_setting

__all__ = ["ENGINES", "make_engine"]

ENGINES = ("local", "ray")


def make_engine(
    name: str, address: str = "", workers: int | None = 1, threads: int = 1, *, gpu: bool = False
) -> Engine:
    """An engine.

    Args:
        name: one of `ENGINES`.
        address: of a Ray cluster.
        workers: processes; None for as many as there are GPUs, or CPUs for their threads.
        threads: of a worker.
        gpu: workers compute on a GPU each.

    Raises:
        UnknownName: there is no such engine.
        ShapeError: no workers, or an address for an engine that takes none.
        MissingExtra: Ray is not installed.
    """
    check_setting("engine", name, ENGINES)
    if workers is not None and workers < 1:
        raise ShapeError(f"`workers` must be at least 1; got {workers}. Give a whole number.")
    if name == "ray":
        from vitreous.engines.on_ray import OnRay

        return OnRay(address, workers, threads, gpu)
    if address:
        raise ShapeError(f"`address` is {address!r}, and the engine is local. Take engine ray with it.")
    gpus = _gpus() if gpu else ()
    count = workers or (len(gpus) if gpu else max(1, _cpus() // threads))
    return InProcess() if count == 1 else LocalProcesses(count, gpus)


def _gpus() -> tuple[str, ...]:
    """What CUDA calls the GPUs that this process may use."""
    named = [each for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if each]
    return tuple(named or map(str, range(torch.cuda.device_count())))


def _cpus() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
