"""Concepts of a folder and pictures of an index, on another picture's page; what is not of this model is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import vitreous
from tests.quick import quick
from tests.tiny import noise, save_model
from vitreous.cli.main import app
from vitreous.errors import DataError, ShapeError
from vitreous.inside.case_building import build_cases
from vitreous.inside.concept_page import ConceptsJob, concept_page
from vitreous.inside.given import NOTHING, Given, read_concepts
from vitreous.models.loaded import LoadedModel
from vitreous.models.zoo import load
from vitreous.render.inside import AlikeCases, Concepts, Inside
from vitreous.trace.features import patch_features

LOOK = Inside.unseen("nothing is looked at.")


@pytest.fixture
def folder(model: LoadedModel, dataset: str, tmp_path: Path) -> Path:
    concept_page(ConceptsJob(model, dataset, "dog", count=2, draws=2, output=tmp_path / "concepts"))
    return tmp_path / "concepts"


@pytest.fixture
def index(model: LoadedModel, dataset: str, tmp_path: Path) -> Path:
    build_cases(model, dataset, tmp_path / "cases.parquet")
    return tmp_path / "cases.parquet"


@pytest.fixture
def other(tmp_path: Path) -> LoadedModel:
    """Another model."""
    return load(save_model(tmp_path / "other", embed_dim=16))


def test_concepts_are_those_of_the_folder(model: LoadedModel, folder: Path) -> None:
    image = torch.rand(1, 3, 32, 32)
    found = Given(folder).on(model, image, LOOK).concepts
    assert isinstance(found, Concepts)
    assert found.of == "dog"
    assert len(found.maps) == 2
    assert all("the score" in each.verdict for each in found.maps)
    with np.load(folder / "concepts.npz") as held:
        assert [each.most for each in found.maps] == pytest.approx(held["maps"].max((0, 2, 3)).tolist())
        directions, mean = held["directions"].astype(float), held["mean"].astype(float)
    rows = patch_features(model.model, image, found.layer).maps[0].flatten(1).T.double().numpy() - mean
    much = np.stack([each.values.ravel() for each in found.maps], 1).astype(float)
    assert (much >= 0).all()
    slope = (much @ directions - rows) @ directions.T  # least squares: nowhere can more, or less, of one do better
    small = 5e-3 * np.abs(rows @ directions.T).max()
    assert (slope > -small).all()
    assert np.abs(slope[much > 1e-3]).max(initial=0) < small


def test_the_most_alike_picture_of_an_index_is_itself(model: LoadedModel, dataset: str, index: Path) -> None:
    preprocess = model.prepared()
    image = preprocess(vitreous.open_picture(Path(dataset.partition(":")[2], "dog", "0.png")))[None]
    found = Given(cases=index).on(model, image, LOOK).cases
    assert isinstance(found, AlikeCases)
    assert found.pictures == 6
    assert (found.found[0].name, found.found[0].label) == ("dog/0.png", "dog")
    assert found.found[0].cosine == pytest.approx(1, abs=1e-3)
    assert [each.cosine for each in found.found] == sorted((each.cosine for each in found.found), reverse=True)


def test_nothing_given_changes_nothing(model: LoadedModel) -> None:
    NOTHING.check(model)
    assert NOTHING.on(model, torch.rand(1, 3, 32, 32), LOOK) is LOOK


def test_what_is_of_another_model_is_refused_and_told_on_its_page(
    other: LoadedModel, folder: Path, index: Path
) -> None:
    for given in (Given(folder), Given(cases=index)):
        with pytest.raises(DataError, match="has other weights"):
            given.check(other)
    looked = Given(folder, index).on(other, torch.rand(1, 3, 32, 32), LOOK)
    assert "has other weights" in str(looked.concepts)
    assert "has other weights" in str(looked.cases)


@pytest.mark.parametrize(
    "what",
    quick(["nothing", "another's", "no arrays", "odd arrays", "not finite", "no direction"], ["nothing", "odd arrays"]),
)
def test_a_damaged_folder_is_refused(model: LoadedModel, folder: Path, tmp_path: Path, what: str) -> None:
    held = dict(np.load(folder / "concepts.npz"))
    if what == "nothing":
        folder = tmp_path
    elif what == "another's":
        told = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps(told | {"job": "explain"}))
    elif what == "no arrays":
        (folder / "concepts.npz").write_bytes(b"nothing")
    else:
        changed = {
            "odd arrays": {"mean": held["mean"][:3]},
            "not finite": {"mean": held["mean"] * np.nan},
            "no direction": {"directions": held["directions"] * 0},
        }[what]
        np.savez(folder / "concepts.npz", **held | changed)
    with pytest.raises(DataError, match=r"vitreous concepts|no readable|not a"):
        Given(folder).check(model)


def test_the_remedy_for_a_damaged_manifest_is_another_folder_of_concepts(model: LoadedModel, folder: Path) -> None:
    (folder / "manifest.json").write_text("[1]")
    with pytest.raises(DataError, match=r"is no manifest\. Give a folder that `vitreous concepts` wrote\.$"):
        Given(folder).check(model)


def test_pictures_of_the_folder_that_a_command_ran_in_have_a_name(model: LoadedModel, folder: Path) -> None:
    told = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(told | {"place": ".", "class_name": ""}))
    assert read_concepts(model, folder).of == "the pictures of its folder"


def test_report_shows_both_and_wants_the_model(model: LoadedModel, folder: Path, index: Path, tmp_path: Path) -> None:
    explained = vitreous.explain(model, noise(1), method="grad_cam")
    page = vitreous.report(explained, tmp_path / "page.html", model=model, concepts=folder, cases=index)
    text = page.read_text(encoding="utf-8")
    for part in (
        "<h2>Concepts</h2>",
        "How much of each concept of dog",
        "<h2>Cases</h2>",
        "Of the 6 pictures",
        "inside --cases --patch",
    ):
        assert part in text
    with pytest.raises(ShapeError, match="Give it too: model="):
        vitreous.report(explained, tmp_path / "page.html", concepts=folder)


def test_the_command_shows_both_and_refuses_before_any_work(
    model_folder: Path, other: LoadedModel, folder: Path, index: Path, tmp_path: Path
) -> None:
    assert other
    noise(1).save(tmp_path / "cat.png")

    def run(name: Path, *more: str | Path) -> tuple[int, str]:
        words = ("explain", tmp_path / "cat.png", "--model", name, "--method", "grad_cam", "--trust-orders", 2)
        done = CliRunner().invoke(app, [*map(str, (*words, "--output", tmp_path / "out", *more))])
        return done.exit_code, done.output + str(done.exception or "")

    code, said = run(model_folder, "--report", "--concepts", folder, "--cases", index)
    assert code == 0, said
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<h2>Concepts</h2>" in text
    assert "<h2>Cases</h2>" in text
    assert " --report --concepts=concepts --cases=cases.parquet</code>" in text
    code, said = run(model_folder, "--concepts", folder)
    assert code == 2
    assert "are shown on the page" in said
    code, said = run(tmp_path / "other", "--report", "--concepts", folder)
    assert code
    assert "has other weights" in said.replace("\n", " ")
