"""The pages say what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.contract.zoo import CASES
from vitreous.methods import METHODS

ROOT = Path(__file__).parents[1]


def test_the_methods_page_lists_every_method_once() -> None:
    listed = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "methods.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(METHODS)


def test_the_counts_of_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"| methods | {len(METHODS)} of them" in text
    assert f"on {len(CASES)} kinds of model" in text


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")], ids=str)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert "://" in target or (page.parent / target).exists(), target
