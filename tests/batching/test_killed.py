"""Killed at any point, and by anybody, a run goes on: every picture has one row, as if nothing had happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import vitreous
from tests.batching.conftest import shards
from tests.tiny import noise

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")]
PICTURES = 60
KILLS = 20
LONGEST = 120.0


@pytest.fixture
def many(tmp_path: Path) -> Path:
    folder = tmp_path / "many"
    folder.mkdir()
    for at in range(PICTURES):
        noise(at).save(folder / f"{at:02}.png")
    (folder / "07.png").write_text("damaged")
    return folder


@pytest.fixture
def start(model_folder: Path, many: Path, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a run in a group of processes of its own; what is left of it at the end is ended."""
    groups: list[int] = []

    def run(output: str, *more: object) -> subprocess.Popen[str]:
        words = ["batch", many, "--model", model_folder, "--method", "ag_cam", "--shard", 1, "--batch-size", 1]
        command = [sys.executable, "-m", "vitreous", *map(str, [*words, "--device", "cpu", "--output", output, *more])]
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"},
        )
        groups.append(process.pid)
        return process

    yield run
    for group in groups:
        _kill_group(group)


def test_twenty_kills(
    start: Callable[..., subprocess.Popen[str]], model_folder: Path, many: Path, tmp_path: Path
) -> None:
    chance = random.Random(0)
    out = tmp_path / "out"
    lost = 0
    for at in range(KILLS):
        workers = (1, 2)[at % 2]
        process = start("out", "--workers", workers)
        before, more = _count(out), chance.randrange(3)
        _wait(lambda enough=before + more, ended=process.poll: _count(out) >= enough or ended() is not None)
        time.sleep(chance.random() / 5)
        if at % 4 == 3 and (found := _workers(process.pid)):
            os.kill(chance.choice(found), signal.SIGKILL)
            _, said = process.communicate(timeout=LONGEST)
            assert process.returncode in (0, 1), said
            lost += "one of 2 worker processes has died" in said
        elif at % 4 == 1:
            process.kill()
            _wait(lambda group=process.pid: not _workers_of_group(group))  # nobody has to end them
        else:
            _kill_group(process.pid)
        process.communicate(timeout=LONGEST)
    assert lost
    assert _count(out) > 0
    last = start("out", "--workers", 1)
    _, said = last.communicate(timeout=LONGEST)
    assert last.returncode == 0, said
    _check(model_folder, many, tmp_path)


def test_an_interrupt(
    start: Callable[..., subprocess.Popen[str]], model_folder: Path, many: Path, tmp_path: Path
) -> None:
    process = start("out", "--workers", 2)
    _wait(lambda: _count(tmp_path / "out") >= 2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=LONGEST)
    assert process.returncode == 130, said
    assert said.splitlines()[-1].startswith("Stopped after ")
    assert said.splitlines()[-1].endswith(f" of {PICTURES}; run it again to go on.")
    assert not list((tmp_path / "out").rglob(".part-*"))
    assert not _workers_of_group(process.pid)
    start("out", "--workers", 1).communicate(timeout=LONGEST)
    _check(model_folder, many, tmp_path)


def test_ray_replaces_a_worker_and_a_driver_goes_on(
    start: Callable[..., subprocess.Popen[str]], model_folder: Path, many: Path, tmp_path: Path
) -> None:
    left: set[int] = set()
    try:
        first = start("out", "--engine", "ray", "--workers", 2)
        _wait(lambda: _count(tmp_path / "out") >= 2 or first.poll() is not None)
        os.kill(_ray_workers(first.pid)[0], signal.SIGKILL)
        before = _count(tmp_path / "out")
        _wait(lambda: _count(tmp_path / "out") >= before + 4 or first.poll() is not None)
        left = _descendants(first.pid)
        first.kill()
        _, said = first.communicate(timeout=LONGEST)
        assert first.returncode == -signal.SIGKILL, said
        second = start("out", "--engine", "ray", "--workers", 1)
        _, said = second.communicate(timeout=2 * LONGEST)
        assert second.returncode == 0, said
    finally:
        for each in left:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
    _check(model_folder, many, tmp_path)


def _ray_workers(driver: int) -> list[int]:
    return [each for each in _descendants(driver) if _command(each).startswith("ray::_Worker")]


def _descendants(parent: int) -> set[int]:
    """All processes below one."""
    found: set[int] = set()
    todo = [parent]
    while todo:
        for task in Path(f"/proc/{todo.pop()}/task").glob("*/children"):
            with suppress(FileNotFoundError, ProcessLookupError):
                below = [int(each) for each in task.read_text().split()]
                todo += below
                found.update(below)
    return found


def _check(model_folder: Path, many: Path, tmp_path: Path) -> None:
    """The files are those of an undisturbed run, and nothing else is there."""
    asked = {"shard": 1, "batch_size": 1, "device": "cpu"}
    whole = vitreous.batch(many, model_folder, ["ag_cam"], output=tmp_path / "whole", **asked)  # type: ignore[arg-type]
    assert (whole.pictures, whole.failed) == (PICTURES, 1)
    assert shards(tmp_path / "out") == shards(tmp_path / "whole")


def _count(out: Path) -> int:
    return len(list((out / "shards").glob("*.parquet")))


def _wait(seen: Callable[[], object]) -> None:
    until = time.monotonic() + LONGEST
    while not seen():
        assert time.monotonic() < until
        time.sleep(0.02)


def _workers(parent: int) -> list[int]:
    """The worker processes of a process."""
    try:
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [int(each) for each in children if "spawn_main" in _command(each)]


def _workers_of_group(group: int) -> list[int]:
    """The worker processes that are left of a run, whoever their parent is by now."""
    found = [int(each.name) for each in Path("/proc").iterdir() if each.name.isdecimal()]
    return [each for each in found if _group(each) == group and "spawn_main" in _command(each)]


def _group(process: int) -> int:
    try:
        return os.getpgid(process)
    except ProcessLookupError:
        return -1


def _command(process: int | str) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
