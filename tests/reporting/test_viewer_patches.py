"""What the page shows of a chosen patch, of regions and of walks, and how a class is found."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.reporting.conftest import painted
from vitreous.render.case import Case

pytestmark = pytest.mark.needs("chromium", "google-chrome")


@pytest.fixture
def page(open_page: Callable[[Case], Any], full: Case) -> Any:
    return open_page(full)


def ends(page: Any, title: str) -> list[str]:
    """What stands below a panel's colors: its lowest and highest value."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.locator(".panel", has_text=title).locator(".colors span").all_inner_texts()


def test_a_chosen_patch_shows_its_row(page: Any) -> None:
    stage = page.locator(".related .stage").first
    box = stage.bounding_box()
    stage.click(position={"x": box["width"] * 0.5, "y": box["height"] * 0.75})
    assert ends(page, "Looks alike") == ["24", "29"]
    assert ends(page, "Attends to") == ["74", "79"], "both blocks, averaged"
    page.get_by_label("Block:").fill("1")
    assert ends(page, "Attends to") == ["124", "129"]
    page.mouse.move(0, 0)
    stage.focus()
    page.keyboard.press("ArrowLeft")
    assert ends(page, "Looks alike") == ["18", "23"]
    assert page.locator(".panel", has_text="Looks alike").locator(".value").inner_text() == "21"
    assert page.get_by_text("Not here: no attention was seen.").is_visible()
    page.keyboard.press("Escape")
    page.locator(".related .colors").first.wait_for(state="hidden")


def test_regions_are_drawn_and_named(page: Any) -> None:
    before = painted(page, ".picture canvas")
    page.get_by_label("Regions").select_option("1")
    assert painted(page, ".picture canvas") != before
    page.locator(".picture .stage").focus()
    for key in ("ArrowDown", "ArrowLeft"):
        page.keyboard.press(key)
    page.locator(".reading", has_text=re.compile("region 3$")).wait_for()


def test_a_walk_is_followed_block_by_block(page: Any) -> None:
    page.get_by_text("What it found").first.click()
    found = page.locator('[data-class="0"] details')
    assert found.locator(".way:not(.under)").get_attribute("points").count(",") == 3
    found.get_by_label("Walked").fill("2")
    assert found.locator(".way:not(.under)").get_attribute("points").count(",") == 2
    assert found.locator(".block").count() == 2
    box = found.locator(".walk").bounding_box()
    found.locator(".walk").hover(position={"x": box["width"] * 0.5, "y": box["height"] * 0.25})
    assert "row 1, column 2: 0.1 would be lost without it; it goes" in found.locator(".value").inner_text()
    found.get_by_label("Only the blocks that stay").check()
    assert found.locator(".block").count() == 2
    assert found.locator(".way").count() == 0
    found.get_by_role("button", name="coarse").click()
    assert "level=coarse" in page.url


def test_a_class_without_a_chip_is_found_by_its_name(page: Any) -> None:
    assert page.get_by_role("button", name="class").count() == 5
    page.get_by_label("Find a class").fill("SS 5")
    page.keyboard.press("Enter")
    page.locator('[data-class="0"]').first.wait_for(state="hidden")
    assert page.locator('[data-class="5"]').is_visible()
    page.get_by_label("Find a class").fill("nothing like it")
    page.keyboard.press("Enter")
    assert page.get_by_text("no such class").is_visible()
