"""The tabs of a page: by click, by keys, in the address, on a phone, and one below the other where no script runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.programs import wait_until
from tests.render.test_inside_page import made
from tests.reporting.conftest import painted
from vitreous.render.case import Attempt, Case
from vitreous.render.inside import Inside, PatchesAlike
from vitreous.reporting.pages import write_pages

pytestmark = pytest.mark.needs("chromium", "google-chrome")

AXE = Path(__file__).with_name("axe.min.js")
TABS = ["Maps", "Similarity", "PCA", "Artifacts", "Layers"]


@pytest.fixture
def looked(case: Case) -> Case:
    """With a look inside, where the first method reads attention and is strong at the artifact."""
    strong = Attempt(np.array([[0.0, 1.0, 2.0], [3.0, 4.0, 9.0]]))
    weak = Attempt(np.array([[9.0, 1.0, 2.0], [3.0, 4.0, 0.0]]))
    first, *others = case.methods
    return replace(case, methods=[replace(first, attempts=[strong, weak], attends=True), *others], inside=made())


@pytest.fixture
def page(open_page: Callable[[Case], Any], looked: Case) -> Any:
    return open_page(looked)


def shown(page: Any) -> list[str]:
    """What the one panel in sight is called, by the tab that it belongs to."""
    ids = page.locator("[role=tabpanel]:visible").evaluate_all("all => all.map((each) => each.dataset.title)")
    return list(ids)


def test_a_click_shows_one_part_and_says_so_in_the_address(page: Any) -> None:
    tabs = page.get_by_role("tab")
    assert tabs.all_inner_texts() == TABS
    assert shown(page) == ["Maps"]
    assert "#" not in page.url
    for name, part in (("Layers", "layers"), ("PCA", "pca")):
        page.get_by_role("tab", name=name).click()
        page.get_by_role("tab", name=name, selected=True).wait_for()
        assert shown(page) == [name]
        assert page.url.endswith(f"#tab={part}")
    assert page.get_by_role("tabpanel", name="PCA").get_by_text("are the same at every patch.").is_visible()
    assert page.get_by_text("Where this comes from").is_visible()


def test_arrow_keys_go_round(page: Any) -> None:
    page.get_by_role("tab", name="Maps").focus()
    for key, name in (
        ("ArrowLeft", "Layers"),
        ("ArrowRight", "Maps"),
        ("ArrowRight", "Similarity"),
        ("End", "Layers"),
        ("Home", "Maps"),
    ):
        page.keyboard.press(key)
        page.get_by_role("tab", name=name, selected=True).wait_for()
        assert page.evaluate("document.activeElement.textContent") == name
        assert shown(page) == [name]
    assert page.locator("[role=tab][tabindex='0']").count() == 1, "Tab leaves the bar"


def test_the_address_opens_a_tab_and_an_unknown_one_the_first(page: Any) -> None:
    address = page.url.split("#")[0]
    for wanted, name in (("artifacts", "Artifacts"), ("nothing", "Maps")):
        page.goto("about:blank")
        page.goto(f"{address}#tab={wanted}&alike=77")
        page.wait_for_selector("main.alive")
        page.get_by_role("tab", name=name, selected=True).wait_for()
        assert shown(page) == [name]


def row(inside: Inside, at: int, patch: int) -> tuple[float, float]:
    """The least and the most alike patch to another."""
    square = inside.alike[at]
    assert isinstance(square, PatchesAlike)
    others = np.delete(square.values[patch], patch)
    return float(others.min()), float(others.max())


def told(page: Any) -> tuple[str, float, float]:
    """What is said of the chosen patch, without the numbers, and these."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    words = page.locator(".alike p[aria-live]").inner_text()
    found = re.search(r"(.*): a cosine of (\S+) to (\S+), the highest", words)
    assert found, words
    return found[1], float(found[2]), float(found[3])


def test_similarity_follows_the_chosen_patch_and_the_features(page: Any) -> None:
    inside = made()
    page.get_by_role("tab", name="Similarity").click()
    words, *ends = told(page)
    assert words == "Alike to the patch in row 2, column 2, by tokens after block 2"
    np.testing.assert_allclose(ends, row(inside, 1, 4), atol=0.01)
    stage = page.locator(".alike .stage")
    box = stage.bounding_box()
    stage.click(position={"x": box["width"] * 0.9, "y": box["height"] * 0.2})
    words, *ends = told(page)
    assert words.startswith("Alike to the patch in row 1, column 3")
    np.testing.assert_allclose(ends, row(inside, 1, 2), atol=0.01)
    before = painted(page, ".alike canvas")
    page.keyboard.press("ArrowLeft")
    assert told(page)[0].startswith("Alike to the patch in row 1, column 2")
    assert painted(page, ".alike canvas") != before
    page.locator(".alike").get_by_label("Block").select_option(label="1")
    words, *ends = told(page)
    assert words.endswith("by tokens after block 1")
    np.testing.assert_allclose(ends, row(inside, 0, 1), atol=0.01)
    page.get_by_label("Features").select_option("keys")
    words, *ends = told(page)
    assert words.endswith("by keys of block 2")
    np.testing.assert_allclose(ends, row(inside, 2, 1), atol=0.01)
    assert "alike=2" in page.url
    assert page.locator(".still:visible").count() == 0


def test_a_click_on_a_tile_chooses_the_patch_everywhere(page: Any) -> None:
    page.get_by_role("tab", name="PCA").click()
    tile = page.locator("[data-tab=pca] .tile > svg").first
    box = tile.bounding_box()
    tile.click(position={"x": box["width"] * 0.9, "y": box["height"] * 0.9})
    assert "patch=1%2C2" in page.url
    mark = page.locator("[data-tab=pca] .tile > svg .cell:not(.under)")
    mark.wait_for()
    assert (mark.get_attribute("x"), mark.get_attribute("y")) == ("2", "1")
    page.locator("[data-tab=pca] .seen .stage").focus()
    page.keyboard.press("ArrowLeft")
    wait_until(page, lambda: mark.get_attribute("x") == "1")
    page.get_by_role("tab", name="Maps").click()
    page.get_by_text("Patch in row 2, column 2").wait_for()


def test_artifacts_are_framed_where_they_spoil_a_map(page: Any) -> None:
    frames = page.locator("[data-tab=maps] .speck:not(.under)")
    assert frames.count() == 1, "on the first class's map, not where another patch is the strongest"
    canvas = page.locator('[data-method="0"][data-class="0"] canvas').first
    width, height = canvas.get_attribute("width"), canvas.get_attribute("height")
    assert float(frames.get_attribute("x")) == pytest.approx(2 * int(width) / 3)
    assert float(frames.get_attribute("y")) == pytest.approx(int(height) / 2)
    assert page.get_by_text("Frames are around artifacts").is_visible()
    page.get_by_label("Frames around artifacts").uncheck()
    frames.wait_for(state="detached")
    assert "specks=0" in page.url


def test_without_scripts_all_parts_stand_below_each_other(browser: Any, looked: Case, tmp_path: Path) -> None:
    file = write_pages([("cat", looked)], tmp_path / "report.html", "one")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.get_by_role("tablist").count() == 0
    for name in ("Similarity", "Principal components", "Artifacts", "Layers"):
        assert page.get_by_role("heading", name=name, exact=True).is_visible()
    assert page.locator(".tile:visible > svg").count() == 3 + 1 + 2
    assert page.locator(".alike").is_hidden()
    context.close()


def test_a_model_that_shows_nothing_says_why_on_one_tab(open_page: Callable[[Case], Any], case: Case) -> None:
    page = open_page(replace(case, inside=Inside.unseen("`Net` runs no attention.")))
    assert page.get_by_role("tab").all_inner_texts() == ["Maps", "Inside the model"]
    page.get_by_role("tab", name="Inside the model").click()
    page.get_by_text("are not here: Net runs no attention.").wait_for()


def test_several_models_stand_beside_each_other(open_page: Callable[[Case], Any], looked: Case) -> None:
    """A patch is chosen on all of them, the features of each alone; the address keeps both."""
    other = replace(looked, inside=replace(made(), heads="its heads are not seen."))
    page = open_page(replace(looked, inside=None, by_model={"first": looked, "second": other}))
    assert page.get_by_role("tab").all_inner_texts() == TABS
    page.get_by_role("tab", name="Similarity").click()
    panels = page.locator(".alike")
    panels.nth(1).get_by_label("Features").select_option("keys")
    panels.nth(0).get_by_label("Block").select_option(label="1")
    for at, what in ((0, "tokens after block 1"), (1, "keys of block 2")):
        panels.nth(at).get_by_text(f"Alike to the patch in row 2, column 2, by {what}").wait_for()
    box = panels.nth(0).locator(".stage").bounding_box()
    panels.nth(0).locator(".stage").click(position={"x": box["width"] * 0.9, "y": box["height"] * 0.2})
    for at in (0, 1):
        panels.nth(at).get_by_text("Alike to the patch in row 1, column 3").wait_for()
    address = page.url
    assert "alike=0%2C2" in address
    page.goto("about:blank")
    page.goto(address)
    panels.nth(1).get_by_text("by keys of block 2").wait_for()
    page.get_by_role("tab", name="Layers").click()
    assert page.get_by_role("tabpanel", name="Layers").locator("table").count() == 2
    assert page.get_by_text("How its heads look is not here: its heads are not seen.").count() == 1


def test_a_page_without_a_look_inside_has_no_tabs(open_page: Callable[[Case], Any], case: Case) -> None:
    page = open_page(case)
    assert page.get_by_role("tab").count() == 0
    assert page.locator(".panel:visible").count() == 4


def test_a_table_that_goes_on_to_the_right_fades_until_it_is_scrolled_to(page: Any) -> None:
    page.set_viewport_size({"width": 360, "height": 800})
    page.get_by_role("tab", name="Layers").click()
    table = page.get_by_role("group", name="block by block")
    fade = "(each) => parseFloat(getComputedStyle(each).getPropertyValue('--fade'))"
    assert table.evaluate(fade) > 0
    table.evaluate("(each) => each.scrollTo(each.scrollWidth, 0)")
    wait_until(page, lambda: table.evaluate(fade) == 0)
    table.evaluate("(each) => each.scrollTo(0, 0)")
    wait_until(page, lambda: table.evaluate(fade) > 0)
    page.set_viewport_size({"width": 1280, "height": 800})
    wait_until(page, lambda: table.evaluate(fade) == 0)  # all of it is in sight


@pytest.mark.slow
@pytest.mark.parametrize("look", [(360, "light"), (360, "dark"), (1280, "light"), (1280, "dark")])
def test_tabs_are_accessible_and_fit(browser: Any, looked: Case, tmp_path: Path, look: tuple[int, str]) -> None:
    width, theme = look
    several = replace(looked, by_model={"one": looked, 80 * "x": looked}, facts={f"model of {80 * 'x'}": "a b c d e"})
    file = write_pages([("cat", looked), ("all", several)], tmp_path / "report.html", "two")
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme, bypass_csp=True)
    page = context.new_page()
    for name, tab in product(("cat", "all"), ("maps", "similarity", "pca", "artifacts", "layers")):
        page.goto("about:blank")
        page.goto(f"{(file.parent / 'report' / name).as_uri()}.html#tab={tab}&patch=0,1")
        page.wait_for_selector("main.alive")
        page.wait_for_timeout(100)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, tab
        heading, value = (page.locator(f".facts tr:last-child {cell}").last for cell in ("th", "td"))
        assert heading.evaluate("(each) => each.scrollWidth <= each.clientWidth"), "it does not lie on what is told"
        assert value.bounding_box()["width"] > 80, "that has room beside a long name"
        page.add_script_tag(path=str(AXE))
        found = page.evaluate("async () => (await axe.run()).violations.map((each) => [each.id, each.nodes[0].html])")
        assert found == [], tab
    context.close()
