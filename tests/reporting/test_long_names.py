"""Names of classes without an end and without a space make no page wide, and nothing on it is cut."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.evaluation.test_run_page import a_run, labelled
from tests.tiny import noise
from vitreous.cli.main import app
from vitreous.evaluation.run_page import write_run_page

pytestmark = [pytest.mark.slow, pytest.mark.needs("chromium", "google-chrome")]

NAMES = (
    "x" * 120,
    "tench, Tinca tinca, and every other word that a list of ImageNet's has for one class, until nobody reads on",
    "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2,
    "7" * 200,
)
SPILLS = """() => {
  document.querySelectorAll("details").forEach((each) => { each.open = true; });
  const words = "td, th, button, li, p, h1, h2, h3, figcaption, label, caption, legend, summary";
  return [...document.querySelectorAll(words)]
    .filter((each) => each.getClientRects().length && !each.closest("[class=facts]"))
    .filter((each) => each.scrollWidth > each.clientWidth + 1 || each.getBoundingClientRect().width > innerWidth + 50)
    .map((each) => `${each.tagName} ${each.scrollWidth} of ${each.clientWidth}: ${each.textContent.slice(0, 60)}`);
}"""


@pytest.fixture
def named(tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model with such names; the folder is empty but for it and two pictures."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model_folder, "model")
    card = json.loads(Path("model/model.json").read_text()) | {"class_names": NAMES}
    Path("model/model.json").write_text(json.dumps(card))
    for seed in range(2):
        noise(seed, (80, 60)).save(f"{seed}.png")
    return tmp_path


def run(*words: str) -> None:
    done = CliRunner().invoke(app, [*words, "--model", "model"], catch_exceptions=False)
    assert done.exit_code == 0, done.output


def check(page: Any, width: int, what: object) -> None:
    assert page.evaluate(SPILLS) == [], what
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width, what


@pytest.mark.parametrize("width", [360, 1280])
def test_pages_of_files_stay_narrow(browser: Any, named: Path, dataset: str, width: int) -> None:
    trusted = ("--report", "--trust-orders", "2", "--method", "ag_cam,rollout")
    run("explain", "0.png", *trusted, "--target", "top-3", "--output", "one")
    run("explain", "0.png", "1.png", *trusted, "--target", "2", "--against", "0", "--output", "many")
    run("explain", "0.png", *trusted, "--model", "model", "--output", "models")
    run("interactions", "0.png", "--output", "interactions")
    measured = ("--labels", "position", "--metric", "perturbation", "--method", "rollout,occlusion")
    run("benchmark", dataset, *measured, "--output", "benchmark")
    folder = a_run(named / "run", NAMES)
    write_run_page(folder, labelled(folder, right=9))
    found = sorted(file for file in named.rglob("*.html"))
    assert len(found) == 8
    page = browser.new_page(viewport={"width": width, "height": 800})
    for file in found:
        page.goto(file.as_uri())
        check(page, width, file)
    page.close()


def test_the_served_page_stays_narrow(browser: Any, named: Path) -> None:
    command = [sys.executable, "-m", "vitreous", "serve", "--port", "0", "--model", str(named / "model")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        page = browser.new_page(viewport={"width": 360, "height": 800})
        page.goto(server.stdout.readline().split()[1])
        page.get_by_role("button", name="dog").click()
        page.locator("#status", has_text="Explained").wait_for()
        page.get_by_label("Hide patches by click").check()
        page.locator(".panel .stage").nth(1).click()
        page.get_by_text("1 patch of 16 hidden. The").wait_for()
        assert page.locator(".hiding").bounding_box()["height"] < 120
        check(page, 360, "served")
        page.close()
        server.send_signal(signal.SIGINT)
