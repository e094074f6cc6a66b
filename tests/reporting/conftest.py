"""A case that needs no model, and a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.tiny import noise
from vitreous.render.case import Attempt, Case, MethodCase, Said

EVIL = '</script><script>alert("&")</script>'


def trust() -> dict[str, Any]:
    """As `Trust.to_json` gives it: of a map on 2 × 3 patches, hidden in three steps."""
    curve = {"values": (0.9, 0.5, 0.1, 0.0), "said": ("tabby · 90.0%", "tabby · 50.0%", "dog · 80.0%", "dog · 99.0%")}
    reverse = {"values": (0.9, 0.85, 0.8, 0.0), "said": ("tabby · 90.0%",) * 3 + ("dog · 99.0%",)}
    one = {"order": (5, 0, 1, 2, 3, 4), "most_first": curve, "least_first": reverse, "abpc": 0.2625, "above": 11}
    one |= {"agreement": {"mine": 0.25}, "with_other": 0.5, "changes": True}
    other = one | {"agreement": {"ag_cam": 0.25}, "above": 3, "changes": False}
    about = {"grid": (2, 3), "hidden": (0, 2, 4, 6), "of": "probability of tabby", "fill": "mean", "seed": 0}
    return about | {"random": (0.1, -0.1) * 6, "maps": {"ag_cam": one, "mine": other}, "other": "dog"}


@pytest.fixture
def case() -> Case:
    rng = np.random.default_rng(0)
    positive = rng.random((2, 3))
    signed = np.array([[-2.0, 0.0, 1.0], [0.5, 0.0, 0.0]])
    return Case(
        "cat.png",
        noise(3, (96, 64)),
        [
            MethodCase("ag_cam", "AG-CAM", [Attempt(positive), Attempt(positive[::-1].copy())], shows=("It shows.",)),
            MethodCase("mine", EVIL, [Attempt(signed), Attempt(-signed)], signed=True),
            MethodCase("cam", "CAM", [Attempt(None, "it does not apply.")] * 2),
        ],
        [Said("tabby", "90.0%", 0.9), Said(EVIL, "5.0%", 0.05)],
        [Said("tabby", "90.0%", 0.9), Said(EVIL, "5.0%", 0.05)],
        trust=[trust(), None],
        command="vitreous explain cat.png",
        facts={"model": EVIL},
    )


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with playwright.sync_playwright() as run:
        opened = run.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()
