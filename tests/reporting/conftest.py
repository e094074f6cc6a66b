"""A case that needs no model, and a browser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tiny import noise
from vitreous.render.case import Attempt, Case, MethodCase, ToldClass
from vitreous.render.relations import Relation
from vitreous.reporting.pages import write_pages

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
        [ToldClass("tabby", "90.0%", 0.9), ToldClass(EVIL, "5.0%", 0.05)],
        [ToldClass("tabby", "90.0%", 0.9), ToldClass(EVIL, "5.0%", 0.05)],
        trust=[trust(), None],
        command="vitreous explain cat.png",
        facts={"model": EVIL},
    )


@pytest.fixture
def full(case: Case) -> Case:
    """One with all that a model at hand adds: relations of 2 × 3 patches, regions, a walk over blocks, six classes."""
    rng = np.random.default_rng(1)
    level = {"grid": (2, 3), "importance": 0.8, "walks": ((0, 1, 4),)}
    rows = zip((0, 0, 1), (0, 1, 1), (0.5, 0.1, 0.2), (True, False, True), strict=True)
    level |= {"blocks": [dict(zip(("row", "column", "importance", "kept"), each, strict=True)) for each in rows]}
    maps = [Attempt(rng.random((2, 3)), found={"coarse": level, "fine": level}) for _ in range(6)]
    values = np.arange(36.0).reshape(1, 6, 6)
    return replace(
        case,
        methods=[MethodCase("mgrw", "MGRW", maps, blocks=True)],
        classes=[ToldClass(f"class {at}", "1%", 0.01) for at in range(6)],
        trust=[],
        relations={
            "alike": Relation((2, 3), values),
            "attends": Relation((2, 3), np.concatenate([values, 100 + values]), "block"),
            "matters": "no attention was seen.",
        },
        regions=[np.array([[0, 1], [2, 2]])],
    )


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Callable[[Case], Any]]:
    """Opens a case; nothing may go wrong on its page."""
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    faults: list[str] = []

    def opened(case: Case) -> Any:
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda told: faults.append(told.text) if told.type == "error" else None)
        page.goto(write_pages([("cat", case)], tmp_path / "report.html", "one").as_uri())
        page.wait_for_selector("main.alive")
        return page

    yield opened
    context.close()
    assert not faults


def painted(page: Any, canvas: str) -> str:
    """A number for what is on a canvas."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    script = """(canvas) => {
        const shown = document.querySelector(canvas);
        const { data } = shown.getContext("2d").getImageData(0, 0, shown.width, shown.height);
        return String(data.reduce((total, each) => (31 * total + each) % 1000000007, 7));
    }"""
    return page.evaluate(script, canvas)
