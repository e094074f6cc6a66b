"""The site is built as `make docs` builds it, without a warning, and no page of it needs a network."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

import vitreous
from vitreous.benchmarking.plan import Plan
from vitreous.data.readers import DATASETS
from vitreous.metrics import METRICS
from vitreous.training.recipe import Recipe

ROOT = Path(__file__).parents[1]


class Fetched(HTMLParser):
    """What a browser fetches by itself when it shows a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in ("script", "img", "iframe", "source", "video", "audio", "embed"):
            self.found.append(given.get("src") or "")
        elif tag == "link" and given.get("rel") not in ("canonical", "next", "prev", "author"):
            self.found.append(given.get("href") or "")


def fetched(text: str) -> list[str]:
    """The addresses of a page that lie elsewhere."""
    reader = Fetched()
    reader.feed(text)
    return [address for address in reader.found if re.match(r"(\w+:)?//", address)]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "sphinx", "-b", "html", "-c", "docs", "-W", "--keep-going", "-q", "."]
    words += ["-d", str(out / "trees"), str(out / "html")]
    with FileLock(tmp_path_factory.getbasetemp().parent / "site.lock"):  # all processes make pages in docs/made
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out / "html"


@pytest.mark.slow
def test_the_site_stands_alone(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 80
    for page in pages:
        assert not fetched(page.read_text(encoding="utf-8")), page
    for style in site.rglob("*.css"):
        assert not re.search(r"""url\(["']?(https?:)?//|@import\s+["']?http""", style.read_text(encoding="utf-8")), (
            style
        )
    assert (site / "index.html").is_file()
    for name in ("rollout", "attn_lrp", "rise"):
        assert (site / "docs" / "made" / "methods" / f"{name}.html").is_file()


def test_pages_are_made_from_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    pages = import_module("from_code").pages(dict.fromkeys(vitreous.METHODS, ""))
    assert all(f"methods/{name}.md" in pages["methods"] and f"methods/{name}" in pages for name in vitreous.METHODS)
    for page, kind in (("recipes", Recipe), ("plan", Plan)):
        assert all(f"{item.name}`" in pages[page] or f"[{item.name}" in pages[page] for item in fields(kind)), page
    assert all(f"## `{kind}:`" in pages["datasets"] for kind in DATASETS)
    assert all(f"## `{name}`" in pages["metrics"] for name in METRICS)
    assert "vitreous detect train" in pages["parts/command"]
    assert not [name for name, text in pages.items() if len(text) < 200]


def test_what_is_fetched_is_found() -> None:
    text = '<script src="https://a.b/c.js"></script><img src="x.png"><link rel="stylesheet" href="//c.d/e.css">'
    assert fetched(text) == ["https://a.b/c.js", "//c.d/e.css"]


@pytest.mark.slow
@pytest.mark.needs("chromium", "google-chrome")
@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_the_screen(site: Path, browser: Any, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for name in ("docs/index", "docs/tutorial", "docs/made/methods", "docs/reference/python", "results/README"):
        page.goto((site / f"{name}.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
    page.close()
    assert all(address.startswith(("file:", "data:")) for address in asked)
