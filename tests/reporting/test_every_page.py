"""The other pages, of benchmarks, interactions, concepts, autoencoders and runs: they fit, and all can read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.evaluation.test_run_page import a_run, labelled
from tests.tiny import noise
from vitreous.cli.main import app
from vitreous.evaluation.run_page import write_run_page

AXE = Path(__file__).parent / "axe.min.js"
LOOKS = [(360, "light"), (360, "dark"), (1280, "light"), (1280, "dark")]

pytestmark = [pytest.mark.slow, pytest.mark.needs("chromium", "google-chrome")]


def run(*words: str | Path) -> None:
    done = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_folder: Path, dataset: str) -> list[Path]:
    """One of each kind."""
    monkeypatch.chdir(tmp_path)
    noise(1, (60, 40)).save("a picture of a very long name without any end to be seen, or nearly so.png")
    measures = ("--method", "ag_cam,rollout,random", "--metric", "perturbation,pointing")
    run("benchmark", dataset, "--model", model_folder, *measures, "--output", "benchmark")
    run("interactions", "--model", model_folder, *tmp_path.glob("*.png"), "--output", "interactions")
    run("concepts", dataset, "--model", model_folder, "--count", "2", "--draws", "2", "--output", "concepts")
    sizes = ("--features", "8", "--k", "2", "--steps", "2")
    run("autoencoder", dataset, "--model", model_folder, *sizes, "--output", "autoencoder")
    names = ("a class of a name that is longer than a telephone is wide, by far", "dog", "cat", "x" * 80)
    folder = a_run(tmp_path / "run", names)
    return [
        *sorted(tmp_path.glob("benchmark/*.html")),
        *sorted(tmp_path.glob("interactions/*.html")),
        *sorted(tmp_path.glob("concepts/*.html")),
        *sorted(tmp_path.glob("autoencoder/*.html")),
        write_run_page(folder, labelled(folder, right=9)),
    ]


def test_pages_fit_and_are_accessible(browser: Any, pages: list[Path]) -> None:
    assert len(pages) == 5
    for width, theme in LOOKS:
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=theme, bypass_csp=True)
        page = context.new_page()
        for path in pages:
            page.goto(path.as_uri())
            page.add_script_tag(path=str(AXE))
            found = page.evaluate(
                "async () => (await axe.run()).violations.map((each) => [each.id, each.nodes[0].html])"
            )
            assert found == [], path
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        context.close()
