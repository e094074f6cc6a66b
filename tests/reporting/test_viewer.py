"""The page in a browser: what is clicked, typed and set shows, by keys as by pointer, and in the address."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.reporting.conftest import painted, trust
from vitreous.render.case import Case
from vitreous.reporting.pages import Failed, write_pages

pytestmark = pytest.mark.needs("chromium", "google-chrome")

AXE = Path(__file__).with_name("axe.min.js")


@pytest.fixture
def file(case: Case, tmp_path: Path) -> str:
    return write_pages([("cat", case)], tmp_path / "report.html", "one").as_uri()


@pytest.fixture
def page(open_page: Callable[[Case], Any], case: Case) -> Any:
    return open_page(case)


def test_a_click_chooses_a_patch_on_all_maps_and_arrows_move_it(page: Any) -> None:
    stage = page.locator('[data-method="0"][data-class="0"] .stage')
    box = stage.bounding_box()
    stage.click(position={"x": box["width"] * 0.9, "y": box["height"] * 0.2})
    page.locator(".reading", has_text="row 1, column 3: AG-CAM").wait_for()
    assert "patch=0%2C2" in page.url
    assert page.locator(".panel:visible .cell:not(.under)").count() == 3
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowLeft")
    page.locator(".reading", has_text="row 2, column 2").wait_for()
    page.keyboard.press("Escape")
    page.locator(".reading").wait_for(state="hidden")


def test_how_alike_maps_are_is_told_of_the_class_that_is_chosen(open_page: Callable[[Case], Any], case: Case) -> None:
    classes = [replace(each, name=name) for each, name in zip(case.classes, ("tabby", "dog"), strict=True) if each]
    page = open_page(replace(case, classes=classes, trust=[trust(), trust()]))
    tables = page.locator(".agreement caption")
    assert [each.inner_text() for each in tables.all() if each.is_visible()] == ["tabby"]
    page.locator("fieldset", has_text="Class").get_by_role("button", name="dog").click()
    page.locator(".agreement caption", has_text="dog").wait_for()
    assert [each.inner_text() for each in tables.all() if each.is_visible()] == ["dog"]


def test_the_value_under_the_pointer_is_the_maps(page: Any) -> None:
    stage = page.locator('[data-method="1"][data-class="0"] .stage')
    box = stage.bounding_box()
    stage.hover(position={"x": 6, "y": 6})
    value = page.locator('[data-method="1"][data-class="0"] .value')
    value.filter(has_text=re.compile("^-2$")).wait_for()
    stage.hover(position={"x": box["width"] - 6, "y": 6})
    value.filter(has_text=re.compile("^1$")).wait_for()


def test_opacity_threshold_colors_and_scale_change_what_is_painted(page: Any) -> None:
    first = '[data-method="0"][data-class="0"] .plane canvas'
    seen = [painted(page, first)]
    page.get_by_label("Opacity").fill("100")
    seen.append(painted(page, first))
    page.get_by_label("Threshold:").fill("60")
    seen.append(painted(page, first))
    page.get_by_label("Colors").select_option("grey")
    seen.append(painted(page, first))
    page.get_by_label("All on one scale").check()
    seen.append(painted(page, first))
    assert all(one != other for one, other in pairwise(seen))
    page.get_by_label("Opacity").fill("0")
    assert painted(page, first) == painted(page, ".picture canvas"), "a clear map leaves the picture as it is"


def test_the_address_opens_the_page_as_it_was(page: Any, file: str) -> None:
    page.get_by_role("button", name="5.0%").click()
    page.get_by_label("Boxes above the threshold").check()
    assert page.locator('[data-class="1"]').first.is_visible()
    assert not page.locator('[data-class="0"]').first.is_visible()
    address = page.url
    assert "class=1" in address
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_selector("main.alive")
    page.locator('[data-class="0"]').first.wait_for(state="hidden")
    assert page.get_by_label("Boxes above the threshold").is_checked()
    page.goto(f"{file}#class=99&opacity=no&patch=77,1&__proto__=1")
    page.reload()
    page.wait_for_selector("main.alive")


def test_zoom_moves_all_maps_together(page: Any) -> None:
    page.get_by_role("button", name="nearer").click()
    moved = page.evaluate("[...document.querySelectorAll('.plane')].map((each) => each.style.transform)")
    assert len(set(moved)) == 1
    assert moved[0].startswith("scale(1.5)")
    page.get_by_role("button", name="all of it").click()
    assert "scale(1)" in page.evaluate("document.querySelector('.plane').style.transform")


def test_the_scrubber_hides_patches_and_tells_what_the_model_said(page: Any) -> None:
    words = page.locator(".scrub p")
    assert (
        "0 of 6 patches hidden. Probability of tabby: 90.0%. The model then says: tabby · 90.0%." in words.inner_text()
    )
    page.get_by_label("Step").fill("2")
    assert "4 of 6 patches hidden. Probability of tabby: 10.0%. The model then says: dog · 80.0%." in words.inner_text()
    script = """() => {
        const canvas = document.querySelector(".scrub canvas");
        const [across, down] = [canvas.width / 3, canvas.height / 2];
        const tone = (x, y) => canvas.getContext("2d").getImageData(x, y, 1, 1).data.join();
        const middle = (at, length) => Math.floor((at + 0.5) * length);
        return [0, 1, 2, 3, 4, 5].map((patch) => tone(middle(patch % 3, across), middle(Math.floor(patch / 3), down)));
    }"""
    tones = page.evaluate(script)
    assert len({tones[patch] for patch in (5, 0, 1, 2)}) == 1
    assert len({*tones}) == 3
    page.get_by_role("button", name="weakest patches first").click()
    assert "Probability of tabby: 80.0%" in words.inner_text()
    tones = page.evaluate(script)
    assert len({tones[patch] for patch in (4, 3, 2, 1)}) == 1


def test_the_map_is_painted_as_the_still_one(page: Any, browser: Any, file: str) -> None:
    """Both are bilinear between the centers of patches, by the same colors: only JPEG and the size part them."""
    script = """async () => {
        const still = document.querySelector('[data-method="1"][data-class="0"] img');
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [24, 16];
        await still.decode();
        canvas.getContext("2d").drawImage(still, 0, 0, 24, 16);
        return canvas.getContext("2d").getImageData(0, 0, 24, 16).data.join();
    }"""
    live = page.evaluate("""() => {
        const canvas = document.createElement("canvas");
        [canvas.width, canvas.height] = [24, 16];
        canvas.getContext("2d").drawImage(document.querySelector('[data-method="1"] .plane canvas'), 0, 0, 24, 16);
        return canvas.getContext("2d").getImageData(0, 0, 24, 16).data.join();
    }""")
    context = browser.new_context()
    other = context.new_page()
    other.route("**/*", lambda route: route.fulfill(body=_without_viewer(file), content_type="text/html"))
    other.goto("http://still.example/")
    still = other.evaluate(script)
    context.close()
    apart = [abs(int(one) - int(two)) for one, two in zip(live.split(","), still.split(","), strict=True)]
    assert sum(apart) / len(apart) < 6


def _without_viewer(file: str) -> str:
    text = Path(file.removeprefix("file://")).read_text(encoding="utf-8")
    return re.sub(r'<script type="module">.*?</script>', "", text, flags=re.DOTALL)


@pytest.mark.slow
@pytest.mark.parametrize("look", [(360, "dark"), (1280, "light"), (1280, "dark")])
def test_pages_are_accessible_and_fit(
    browser: Any, case: Case, full: Case, tmp_path: Path, look: tuple[int, str]
) -> None:
    width, theme = look
    pages = [("cat", case), ("", Failed("bad.png", "no picture")), ("dog", replace(full, name="dog.png"))]
    index = write_pages(iter(pages), tmp_path / "report.html", "three")
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme, bypass_csp=True)
    page = context.new_page()
    for path in (index, tmp_path / "report" / "cat.html", tmp_path / "report" / "dog.html"):
        page.goto(f"{path.as_uri()}#patch=0,1&regions=1")
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        page.wait_for_timeout(100)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        script = "[...document.querySelectorAll('.scrub text')].map((each) => each.getBoundingClientRect().height)"
        assert all(height >= 14 for height in page.evaluate(script)), "letters of the chart can be read"
        page.add_script_tag(path=str(AXE))
        found = page.evaluate("async () => (await axe.run()).violations.map((each) => [each.id, each.nodes[0].html])")
        assert found == []
    context.close()


def test_without_scripts_the_page_is_whole(browser: Any, file: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file)
    assert page.locator(".controls").is_hidden()
    assert page.locator(".panel:visible").count() == 7
    assert page.get_by_text("above 11 of 12 random orders").first.is_visible()
    context.close()


def test_the_index_is_filtered(browser: Any, case: Case, tmp_path: Path) -> None:
    pages = [("cat", case), ("", Failed("bad.png", "no picture")), ("dog", replace(case, name="dog.png", trust=[]))]
    page = browser.new_page()
    page.goto(write_pages(iter(pages), tmp_path / "report.html", "three").as_uri())
    count = page.locator("#count")
    assert count.inner_text() == "3 of 3 pictures"
    page.get_by_label("Pictures").select_option("bad")
    assert count.inner_text() == "1 of 3 pictures"
    page.get_by_label("Pictures").select_option("")
    page.get_by_label("Best map").fill("90")
    assert count.inner_text() == "1 of 3 pictures"
    page.get_by_role("link", name="cat.png").click()
    page.wait_for_selector("main.alive")
    page.get_by_role("link", name="All pictures").click()
    assert page.title() == "three"
    page.close()
