"""Ctrl-C at any point of an explanation leaves the model, torch's modes and what threads share as they were."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_an_interrupt_leaves_nothing_behind() -> None:
    command = [sys.executable, "-m", "tests.trace.interrupts", "20"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 10
    assert not any(found.values()), found
