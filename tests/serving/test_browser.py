"""The served page in a real browser: what visitors do there, one and two at a time, on a phone and without scripts."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.programs import wait_until
from tests.serving.conftest import png

pytestmark = [pytest.mark.slow, pytest.mark.needs("chromium", "google-chrome")]

AXE = Path(__file__).parents[1] / "reporting" / "axe.min.js"


@pytest.fixture(scope="module")
def address(model_folder: Path) -> Iterator[str]:
    """Of a server of two models."""
    command = [sys.executable, "-m", "vitreous", "serve", "--port", "0", *(["--model", str(model_folder)] * 2)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout
        yield server.stdout.readline().split()[1]
        server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=30)
        assert "Traceback" not in said


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Opens the page; nothing may go wrong on it."""
    contexts: list[Any] = []
    faults: list[str] = []

    def opened(width: int = 1280, theme: str = "light", **more: Any) -> Any:
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, **more))
        page = contexts[-1].new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults


def upload(page: Any, content: bytes = b"", name: str = "cat.png") -> None:
    page.get_by_label("choose a file").set_input_files(
        [{"name": name, "mimeType": "image/png", "buffer": content or png(1)}]
    )


def explained(page: Any) -> None:
    page.locator("#status", has_text="Explained").wait_for()
    page.locator(".answer .alive").first.wait_for()


def test_a_picture_is_explained_asked_about_and_taken_home(visit: Callable[..., Any]) -> None:
    page = visit()
    upload(page)
    explained(page)
    assert page.locator(".panel:visible h2").all_inner_texts() == [
        "What the model saw",
        "AG-CAM",
        "AttnLRP",
        "Grad-CAM",
    ]

    page.get_by_label("Opacity").fill("20")
    page.get_by_label("Step").fill("3")
    assert "patches hidden" in page.locator(".scrub p").inner_text()
    stage = page.locator(".picture .stage")
    box = stage.bounding_box()
    stage.click(position={"x": box["width"] * 0.6, "y": box["height"] * 0.6})
    page.get_by_text("Patch in row 3, column 3").wait_for()
    page.get_by_label("Hide patches by click").check()
    page.keyboard.press("Tab")
    stage.focus()
    page.keyboard.press("Enter")
    page.get_by_text("1 patch of 16 hidden. The model then says:").wait_for()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.get_by_text("2 patches of 16 hidden. The model then says:").wait_for()

    chip = page.locator("fieldset", has_text="Explain").get_by_role("button").nth(1)
    wanted = chip.inner_text()
    chip.click()
    page.locator(".answer h1", has_text=wanted).wait_for()
    explained(page)
    assert page.get_by_label("Opacity").input_value() == "20", "what was set stays"
    page.get_by_role("tab", name="Layers").click()
    page.get_by_role("columnheader", name="entropy").wait_for()
    page.get_by_label("rather than").fill("7")
    page.keyboard.press("Enter")
    page.locator(".answer h1", has_text=" rather than ").wait_for()

    page.get_by_role("tab", name="Layers", selected=True).wait_for()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download this as a report").click()
    text = Path(download.value.path()).read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "AttnLRP" in text


def test_two_models_see_one_picture_in_rows_that_follow_each_other(visit: Callable[..., Any]) -> None:
    page = visit(bypass_csp=True)
    page.get_by_label("beside").select_option("1")
    page.get_by_role("button", name="pizza").click()
    page.locator(".answer .alive").nth(1).wait_for()
    explained(page)
    rows = page.locator(".answer")
    first_name, other_name = page.locator("[name=model] option").all_inner_texts()
    assert other_name == f"{first_name} 2", "they are called alike"
    first, second = (rows.nth(at) for at in range(2))
    assert [rows.nth(at).get_by_label("Opacity").is_visible() for at in range(2)] == [True, False]
    assert not second.get_by_text("How far these maps can be trusted").is_visible()
    for each in (first, second):
        assert each.get_by_text("The same maps again").is_hidden(), "rows stand near each other"
    assert violations(page) == []
    stage = second.locator(".stage").nth(1)
    box = stage.bounding_box()
    stage.click(position={"x": box["width"] * 0.6, "y": box["height"] * 0.9})
    for each in (first, second):
        each.locator(".reading", has_text="Patch in row 4, column 3").wait_for()
        each.locator(".cross").first.wait_for(state="attached")
    for each in (first, second):
        each.get_by_label("Hide patches by click").check()
    stage.press("Enter")
    for each in (first, second):
        each.get_by_text("1 patch of 16 hidden. The model then says:").wait_for()
    stage.press("+")
    assert len({each.locator(".plane").first.get_attribute("style") for each in (first, second)}) == 1
    assert "scale(1.5)" in first.locator(".plane").first.get_attribute("style")
    first.get_by_label("Opacity").fill("15")
    drawn = "each => [...each.querySelectorAll('.plane canvas')].map((canvas) => canvas.toDataURL())"
    wait_until(page, lambda: len(first.evaluate(drawn)) > 3 and first.evaluate(drawn) == second.evaluate(drawn))

    chip = first.locator("fieldset", has_text="Explain").get_by_role("button").nth(1)
    wanted = chip.inner_text()
    chip.click()
    first.locator("h1", has_text=wanted).wait_for()
    explained(page)
    assert first.get_by_label("Opacity").input_value() == "15"
    first.locator(".stage").first.press("ArrowUp")
    for each in (first, second):
        each.locator(".reading", has_text="Patch in row 3, column 3").wait_for()


def violations(page: Any) -> list[Any]:
    """Of accessibility."""
    page.add_script_tag(path=str(AXE))
    return page.evaluate("async () => (await axe.run()).violations.map((each) => [each.id, each.nodes[0].html])")


def test_slow_work_tells_how_far_it_is_and_is_cancelled(visit: Callable[..., Any]) -> None:
    page = visit()
    page.get_by_text("Methods").click()
    for title in ("AG-CAM", "AttnLRP", "Grad-CAM"):
        page.get_by_label(title, exact=True).uncheck()
    page.get_by_label("RISE", exact=True).check()
    upload(page)
    page.get_by_role("progressbar").wait_for()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("Cancelled.").wait_for()
    page.get_by_label("RISE", exact=True).uncheck()
    page.get_by_label("AG-CAM", exact=True).check()
    page.get_by_role("button", name="Explain", exact=True).click()
    explained(page)


def test_a_broken_upload_is_told_and_the_next_one_works(visit: Callable[..., Any]) -> None:
    page = visit()
    upload(page, b"no picture at all")
    page.get_by_text("is not a picture of a known format").wait_for()
    upload(page)
    explained(page)


def test_pictures_are_dropped_and_pasted(visit: Callable[..., Any]) -> None:
    page = visit()
    for kind, carried in (("drop", "dataTransfer"), ("paste", "clipboardData")):
        page.evaluate(
            """async ([kind, carried, bytes]) => {
                const given = new DataTransfer();
                given.items.add(new File([new Uint8Array(bytes)], "x.png", { type: "image/png" }));
                const Kind = kind === "drop" ? DragEvent : ClipboardEvent;
                document.querySelector("#answers").replaceChildren();
                document.dispatchEvent(new Kind(kind, { [carried]: given, bubbles: true, cancelable: true }));
            }""",
            [kind, carried, [*png(2)]],
        )
        explained(page)


def test_two_visitors_at_once_each_get_their_own(visit: Callable[..., Any]) -> None:
    one, other = visit(), visit()
    upload(one)
    other.get_by_role("button", name="shuttle").click()
    for page in (one, other):
        explained(page)
    assert "shuttle.jpg" in other.locator(".answer").inner_text()
    assert "shuttle.jpg" not in one.locator(".answer").inner_text()


@pytest.mark.parametrize("width", [360, 1280])
def test_without_scripts_the_form_is_sent_and_a_page_comes_back(visit: Callable[..., Any], width: int) -> None:
    page = visit(width, java_script_enabled=False)
    assert not page.locator("#status").is_visible()
    upload(page)
    page.get_by_text("Methods").click()
    page.get_by_label("Rollout", exact=True).check()
    page.get_by_role("button", name="Explain").click()
    shown = ["What the model saw", "AG-CAM", "AttnLRP", "Grad-CAM", "Rollout"]
    assert page.locator(".panel:visible h2").all_inner_texts() == shown
    assert page.locator(".panel:visible img").count() >= len(shown)
    assert page.locator("html").bounding_box()["width"] <= width
    page.go_back()
    page.get_by_role("button", name="horse").click()
    assert "horse.jpg" in page.locator("header").inner_text()
    page.go_back()
    upload(page, b"no picture at all")
    page.get_by_role("button", name="Explain").click()
    assert "is not a picture of a known format" in page.locator("main").inner_text()
    page.get_by_role("link", name="Back").click()
    page.get_by_role("button", name="Explain").wait_for()


def test_enter_in_a_field_takes_no_sample(visit: Callable[..., Any]) -> None:
    page = visit()
    page.get_by_label("Measure how far").press("Enter")
    page.get_by_text("Choose a picture first.").wait_for()


def test_a_keyboard_is_enough(visit: Callable[..., Any]) -> None:
    page = visit()
    reached: list[str] = []
    focused = "document.activeElement.innerText || document.activeElement.name || document.activeElement.className"

    def tab_to(wanted: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            reached.append(page.evaluate(focused))
            if wanted in reached[-1]:
                return
        pytest.fail(f"{wanted} is not reached: {reached}")

    tab_to("shuttle")
    page.keyboard.press("Enter")
    explained(page)
    assert "shuttle.jpg" in page.locator(".answer").inner_text()
    tab_to("stage")
    for key in ("ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    page.get_by_text("Patch in row 3, column 4").wait_for()
    page.keyboard.press("+")
    assert "scale(1.5)" in page.locator(".plane").first.get_attribute("style")
    page.get_by_label("Hide patches by click").focus()
    page.keyboard.press("Space")
    page.locator(".stage").nth(1).focus()
    page.keyboard.press("Enter")
    page.get_by_text("1 patch of 16 hidden. The model then says:").wait_for()


@pytest.mark.parametrize("look", [(360, "dark"), (360, "light"), (1280, "dark"), (1280, "light")])
def test_the_page_fits_and_is_accessible(visit: Callable[..., Any], look: tuple[int, str]) -> None:
    width, theme = look
    page = visit(width, theme, bypass_csp=True)
    page.get_by_role("button", name="dog").click()
    explained(page)
    page.locator(".picture .stage").click()
    page.get_by_text("Methods").first.click()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    hiding = page.locator(".hiding")
    position = "(box) => getComputedStyle(box).position"
    assert hiding.evaluate(position) == "static", "it covers no map that nobody hides patches of"
    page.get_by_label("Hide patches by click").check()
    assert hiding.evaluate(position) == "sticky"
    page.locator(".panel .stage").nth(1).click()
    page.get_by_text("1 patch of 16 hidden. The model then says:").wait_for()
    high = hiding.bounding_box()["height"]
    assert high < 100 or width > 360, "on a phone it is a bar, and what it says in full is behind a name"
    assert hiding.locator("table").is_visible() == (width > 360)
    if width == 360:
        hiding.get_by_text("More").click()
        assert hiding.locator("table").is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
