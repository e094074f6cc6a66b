"""Pictures of a run, what it leaves in its folder, and runs of their own process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.tiny import noise

MINE = b"the user's own"
KINDS = {"explain": ("png", "npz"), "interactions": ("png", "npz", "html"), "inside": ("png", "npz")}
"""The files of a picture."""


def pictures(folder: Path, names: list[str]) -> Path:
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise(seed).save(path)
    return folder


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())


def outputs(folder: Path) -> set[str]:
    """All that is there, but for locks."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.endswith(".lock")}


def maps(folder: Path) -> int:
    """How many are there: `os.walk` minds no folder that goes away meanwhile."""
    return sum(name.endswith(".npz") for _, _, names in os.walk(folder) for name in names)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in outputs(folder) if name != "manifest.json"}


def start(*words: object, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vitreous", *map(str, words)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=cwd, preexec_fn=_hear_interrupts, **pipes)  # noqa: PLW1509  # no threads here


def _hear_interrupts() -> None:
    """Tests that run in the background of a shell inherit deafness."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(seen: Callable[[], object], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 120
    while not seen() and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.005)
