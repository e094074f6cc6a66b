"""The pages say what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.contract.zoo import CASES
from vitreous.methods import METHODS

ROOT = Path(__file__).parents[1]
PAGES = [
    *ROOT.glob("*.md"),
    *(page for page in ROOT.glob("docs/**/*.md") if "made" not in page.parts),
    *ROOT.glob("*/README.md"),
]


def test_the_readme_promises_no_more_than_there_is() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "| methods | over thirty," in text
    assert len(METHODS) > 30
    assert "on over fifty kinds of model" in text
    assert len(CASES) > 50


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        made = "made/" in target  # when the site is built, which then finds it
        assert "://" in target or made or (page.parent / target).exists(), target
