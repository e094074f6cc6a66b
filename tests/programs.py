"""Programs that some tests drive, such as a browser: without one a test is skipped, or fails where all must run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

__all__ = ["check_programs", "wait_until"]


def check_programs(item: pytest.Item) -> None:
    """Of a test marked `needs(name, other name, …)`, one must be there: skipped if not, failed under `--all`."""
    for mark in item.iter_markers("needs"):
        if not any(map(shutil.which, mark.args)):
            missing = f"there is no {' or '.join(mark.args)}"
            if item.config.getoption("--all"):
                pytest.fail(f"{missing}, and all tests must run", pytrace=False)
            pytest.skip(missing)


def wait_until(page: Any, holds: Callable[[], bool]) -> None:
    """Look at a page of the browser's until it is as told: its own waiting evaluates text, which our pages forbid."""
    for _ in range(200):
        if holds():
            return
        page.wait_for_timeout(50)
    pytest.fail("the page did not come to it in 10 s")
