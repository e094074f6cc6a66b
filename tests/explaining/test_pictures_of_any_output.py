"""Sheets, maps and manifests of models that decide nothing, that give values, or whose one score has two sides."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import vitreous
from tests.explaining.made_up import manifest, run
from vitreous.data.pictures import open_picture
from vitreous.errors import NoClassScores
from vitreous.explaining import outputs
from vitreous.explaining.picture_job import PictureJob
from vitreous.interacting.numbers import InteractionsJob
from vitreous.interacting.pages import interaction_pages
from vitreous.methods import METHODS
from vitreous.methods.cases import cases_of
from vitreous.methods.explanation import Explanation
from vitreous.models.zoo import LoadedModel
from vitreous.reporting.facts import facts_of
from vitreous.reporting.pictures import report_pictures


@pytest.fixture
def job(job: PictureJob) -> PictureJob:
    return replace(job, methods={name: METHODS[name]() for name in ("ag_cam", "raw_attention")})


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a sheet says above its panels."""
    told: dict[str, Any] = {}
    draw = outputs.sheet

    def listen(panels: Any, **words: Any) -> Any:
        told.update(words, panels=[(panel.title, panel.caption) for panel in panels])
        return draw(panels, **words)

    monkeypatch.setattr(outputs, "sheet", listen)
    return told


def _with_head(model: LoadedModel, head: nn.Module, **how: Any) -> LoadedModel:
    other = copy.deepcopy(model.model)
    other.head = head
    return replace(model, model=other, class_names=()).read_as(**how)


def test_without_a_classifier_there_is_a_map_and_no_decision(
    job: PictureJob, pictures: list[Path], said: dict[str, Any]
) -> None:
    model = _with_head(job.model, nn.Identity())
    (result,) = run(replace(job, model=model), pictures[:1])
    assert (result.predicted, result.targets) == ((), ())
    assert list(result.refused) == ["ag_cam"]
    assert "no class scores" in result.refused["ag_cam"]
    assert result.maps
    with np.load(result.maps) as maps, np.load(run(job, pictures[:1])[0].maps) as classified:
        assert set(maps) == {"about", "raw_attention"}
        assert np.array_equal(maps["raw_attention"], classified["raw_attention"])
    (entry,) = manifest(job)["pictures"]  # type: ignore[misc]
    assert entry["error"] is None
    with pytest.raises(NoClassScores):
        run(replace(job, model=model, target="7"), pictures[:1])


def test_the_sheet_without_a_classifier_names_the_file(
    job: PictureJob, pictures: list[Path], said: dict[str, Any]
) -> None:
    run(replace(job, model=_with_head(job.model, nn.Identity())), pictures[:1])
    assert said["title"] == "a.png"
    assert said["subtitle"].endswith("no classifier, so no decision")
    assert [title for title, _ in said["panels"]] == ["what the model saw", "Raw attention"]


def test_where_scores_were_found_is_told_everywhere(
    job: PictureJob, pictures: list[Path], said: dict[str, Any], tmp_path: Path
) -> None:
    model = _with_head(job.model, nn.Sequential(job.model.model.head, nn.Softmax(1)))
    told = "its class scores are what went into its last softmax"
    (result,) = run(other := replace(job, model=model), pictures[:1])
    assert told in said["subtitle"]
    (entry,) = manifest(other)["pictures"]
    assert entry["scores_from"] == result.scores_from == told
    assert result.maps
    assert Explanation.load(result.maps, "ag_cam").scores_from == told
    page = report_pictures(other).read_text(encoding="utf-8")
    assert f"{told[0].upper()}{told[1:]}." in page
    assert "class scores" in facts_of(other, manifest(other), told)
    found = vitreous.explain(model, open_picture(pictures[0]))
    assert found.scores_from == told
    found.save(tmp_path / "a.npz")
    assert Explanation.load(tmp_path / "a.npz").scores_from == told
    (case,) = cases_of(found)
    assert any(told[1:] in note for note in case.notes)
    assert vitreous.explain(job.model, open_picture(pictures[0])).scores_from == ""


def test_a_value_is_shown_as_one(job: PictureJob, pictures: list[Path], said: dict[str, Any]) -> None:
    head = nn.Linear(32, 1)
    nn.init.constant_(head.bias, 62.4)
    model = _with_head(job.model, head, link="identity")
    (result,) = run(replace(job, model=model), pictures[:1])
    (answer,) = result.predicted
    assert answer.probability is None
    assert said["title"] == f"value 0 · {answer.score:.5g}"
    assert "%" not in said["title"] + said["subtitle"]
    said_of = {"output": None, "part": "", "call": None, "grid": None, "patches": None}
    assert manifest(job)["reading"] == {**said_of, "link": "identity"}
    (entry,) = manifest(job)["pictures"]  # type: ignore[misc]
    assert entry["targets"] == [{"index": 0, "name": "value 0", "score": answer.score, "probability": None}]


@pytest.mark.parametrize("side", [-1, 1])
def test_one_score_has_two_sides(job: PictureJob, pictures: list[Path], said: dict[str, Any], side: int) -> None:
    head, name = nn.Linear(32, 1), "class 0" if side > 0 else "not class 0"
    nn.init.constant_(head.bias, 20.0 * side)
    (result,) = run(replace(job, model=_with_head(job.model, head)), pictures[:1])
    assert result.targets == result.predicted
    assert said["title"] == f"{name} · 100.0%"
    assert 'its one score is taken for a binary one (link="sigmoid")' in said["subtitle"]
    run(replace(job, model=_with_head(job.model, head, link="sigmoid")), pictures[:1])
    assert "taken for" not in said["subtitle"]
    run(replace(job, model=_with_head(job.model, head), target="0"), pictures[:1])
    assert said["title"].startswith("class 0 · "), "whoever names the class asks what speaks for it"


def test_interactions_need_no_classifier(job: PictureJob, pictures: list[Path], tmp_path: Path) -> None:
    model = _with_head(job.model, nn.Identity())
    (page,) = interaction_pages(InteractionsJob(model, output=tmp_path / "pages"), pictures[:1])
    assert page.page
    assert page.page.is_file()
    assert page.numbers
    with np.load(page.numbers) as numbers:
        assert "logits" not in numbers
