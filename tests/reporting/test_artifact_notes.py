"""A page says which patches are artifacts, and nothing where there are none or none can be seen."""

from __future__ import annotations

import pytest

from tests.contract.zoo import CASES
from tests.inside.test_artifact_effects import spoiled
from vitreous.models.zoo import describe
from vitreous.render.case import Case
from vitreous.reporting.related import related


def test_artifacts_are_named_on_the_page() -> None:
    model, images = spoiled()
    case = related(Case("x", None, [], [None], notes=["before"]), describe(model), images[:1], [])
    before, note = case.notes
    assert before == "before"
    assert note.startswith("Artifacts: 1 of 16 patches (row,column from 1,1: 2,3) hold something else")


def test_artifacts_are_named_for_another_class_of_the_same_picture() -> None:
    model, images = spoiled()
    first = related(Case("x", None, [], [None], notes=["of one class"]), describe(model), images[:1], [])
    second = related(Case("x", None, [], [None], notes=["of another"]), describe(model), images[:1], [], first)
    assert second.notes == ["of another", first.notes[1]]


@pytest.mark.parametrize("name", ["timm_vit", "timm_resnet"])
def test_pages_without_artifacts_say_nothing_of_them(name: str) -> None:
    model, images = CASES[name].model(), CASES[name].images(1)
    assert not related(Case("x", None, [], [None]), describe(model), images, []).notes
