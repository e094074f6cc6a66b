"""A sheet says which maps are the same for every class, whoever draws it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import vitreous
from vitreous.explaining import outputs
from vitreous.explaining.pictures import PictureJob, explain_pictures
from vitreous.methods import make_method
from vitreous.render import sheet as sheets

NAMES = ("rollout", "raw_attention", "eigen_cam", "edges", "grad_cam", "ag_cam")
SAME = {"Rollout", "Raw attention", "Eigen-CAM", "Edges"}


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The panels of the sheets that are drawn."""
    found: list[Any] = []
    draw = sheets.sheet

    def watched(panels: Any, **rest: Any) -> Any:
        found.extend(panels)
        return draw(panels, **rest)

    monkeypatch.setattr(outputs, "sheet", watched)
    monkeypatch.setattr(sheets, "sheet", watched)
    return found


def test_on_the_sheets_of_a_run(job: PictureJob, pictures: list[Path], drawn: list[Any]) -> None:
    methods = {name: make_method(name) for name in NAMES}
    list(explain_pictures(replace(job, methods=methods, target="top-2"), pictures[:1]))
    said = {panel.title: panel.caption for panel in drawn if panel.scale}
    assert {title for title, caption in said.items() if caption == "same for every class"} == SAME
    assert len(said) == len(NAMES)


def test_on_the_sheet_of_an_explanation(job: PictureJob, pictures: list[Path], drawn: list[Any]) -> None:
    for name, same in (("rollout", True), ("grad_cam", False)):
        drawn.clear()
        found = vitreous.explain(job.model, pictures[0], name)
        found.sheet()
        seen, heat = drawn
        assert (seen.title, heat.caption == "same for every class") == (pictures[0].name, same)
        found.save(pictures[0].with_suffix(".npz"))
        drawn.clear()
        type(found).load(pictures[0].with_suffix(".npz")).sheet()
        assert (drawn[-1].caption == "same for every class") == same
