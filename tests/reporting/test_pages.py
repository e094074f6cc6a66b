"""A page is one file that says everything without a script, and gives the viewer the numbers as they are."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.reporting.conftest import EVIL
from tests.tiny import noise
from vitreous import explain, report
from vitreous.errors import DataError, ShapeError
from vitreous.models.zoo import LoadedModel
from vitreous.render.case import Case, stretched
from vitreous.render.picture_page import picture_page
from vitreous.render.script import viewer
from vitreous.reporting.pages import Failed, write_pages

VIEWER = Path(__file__).parents[2] / "src" / "vitreous" / "render" / "viewer"


class Read(HTMLParser):
    """Tags, addresses and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.texts: list[str] = []
        self.styled = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        said = dict(attrs)
        self.addresses += [said[name] or "" for name in ("src", "href") if name in said]
        self.styled |= "style" in said

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def data_of(text: str) -> dict[str, Any]:
    found = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found[0])


def test_a_page_needs_nothing_and_runs_nothing_but_its_own(case: Case) -> None:
    text = picture_page(case)
    read = Read(text)
    assert read.tags.count("script") == 2, "the data and the viewer"
    assert all(each.startswith("data:") for each in read.addresses)
    assert not read.styled, "the policy forbids it"
    assert EVIL in read.texts


def test_without_scripts_maps_trust_and_refusals_are_there(case: Case) -> None:
    said = " ".join(Read(picture_page(case)).texts)
    for words in (
        "above 11 of 12 random orders",
        "+0.263",
        "no, it is the same (dog)",
        "+0.25",
        "No map: it does not apply.",
        "vitreous explain cat.png",
        "It shows.",
    ):
        assert words in said, words


def test_the_viewer_is_given_the_numbers_as_they_are(case: Case) -> None:
    first = case.methods[0]
    tiny = replace(first, attempts=[replace(each, heatmap=each.heatmap * 1e-9) for each in first.attempts])  # type: ignore[operator]
    data = data_of(picture_page(replace(case, methods=[tiny, *case.methods[1:]])))
    packed = data["methods"][0]["maps"][0]
    values = np.frombuffer(base64.b64decode(packed["values"]), "<f4").reshape(packed["rows"], packed["columns"])
    np.testing.assert_allclose(values, tiny.attempts[0].heatmap, rtol=1e-6)
    assert data["methods"][2]["maps"] == [None, None]
    assert data["grid"] == {"rows": 2, "columns": 3}


def test_a_page_without_a_picture_or_a_class_says_so(case: Case) -> None:
    text = picture_page(replace(case, picture=None, classes=[None], predicted=[], trust=["hiding moves nothing."]))
    assert "hiding moves nothing." in text
    assert '<figure class="panel picture">' not in text


def test_several_pictures_have_an_index(case: Case, tmp_path: Path) -> None:
    odd = 'a "b" #1%/cat'
    pages = [(odd, case), ("", Failed("bad.png", "no picture")), ("dog", replace(case, name="dog.png", trust=[]))]
    write_pages(iter(pages), tmp_path / "report.html", "three")
    read = Read((tmp_path / "report.html").read_text())
    assert (tmp_path / "report" / f"{odd}.html").is_file()
    assert [each for each in read.addresses if not each.startswith("data:")] == [
        "report/a%20%22b%22%20%231%25/cat.html",
        "report/dog.html",
    ]
    assert "no picture" in read.texts
    assert "AG-CAM: above 11 of 12 random orders" in read.texts
    assert "../../report.html" in Read((tmp_path / "report" / f"{odd}.html").read_text()).addresses


def test_one_picture_is_the_page_itself(case: Case, tmp_path: Path) -> None:
    write_pages([("cat", case)], tmp_path / "report.html", "one")
    assert [each.name for each in tmp_path.iterdir()] == ["report.html"]
    assert "AG-CAM" in (tmp_path / "report.html").read_text()


def test_what_is_the_users_own_stays(case: Case, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(DataError, match="is no page of vitreous"):
        write_pages([("cat", case)], tmp_path / "report.html", "one")
    assert (tmp_path / "report.html").read_text() == "mine"


def test_explanations_of_one_picture_share_its_page(model: LoadedModel, tmp_path: Path) -> None:
    pictures = [noise(1), noise(2)]
    found = explain(model, pictures, ["ag_cam", "rollout"], "top-2")
    page = report(found, tmp_path / "both.html")
    data = data_of((tmp_path / "both" / "2.html").read_text())
    assert page.is_file()
    assert [each["title"] for each in data["methods"]] == ["AG-CAM", "Rollout"]
    assert len(data["classes"]) == 2
    packed = data["methods"][0]["maps"][1]["values"]
    expected = found["ag_cam"].heatmap[3].numpy()
    np.testing.assert_allclose(np.frombuffer(base64.b64decode(packed), "<f4"), expected.flatten(), rtol=1e-6)


def test_with_the_model_patches_are_related_for_each_class(model: LoadedModel, tmp_path: Path) -> None:
    found = explain(model, noise(1), ["ag_cam"], "top-2")
    relations = data_of(report(found, tmp_path / "a.html", model=model).read_text())["relations"]
    assert [relations[kind]["layers"] for kind in ("alike", "attends", "matters")] == [1, 2, 2]
    assert data_of(report(found, tmp_path / "b.html").read_text())["relations"] == {}


def test_explanations_made_apart_share_a_page_too(model: LoadedModel, tmp_path: Path) -> None:
    page = report([explain(model, noise(1), each) for each in ("ag_cam", "rollout", "ag_cam")], tmp_path / "a.html")
    assert [each["title"] for each in data_of(page.read_text())["methods"]] == ["AG-CAM", "Rollout", "AG-CAM 2"]


def test_tensors_have_a_page_of_their_input(model: LoadedModel, tmp_path: Path) -> None:
    page = report(explain(model, torch.rand(1, 3, 32, 32), "ag_cam"), tmp_path / "a.html")
    assert 'class="panel picture"' in page.read_text()
    assert stretched(np.zeros((2, 4, 4), np.float32)) is None
    gray = stretched(np.array([[[0.0, 1.0], [0.5, 0.25]]], np.float32))
    assert gray
    assert np.asarray(gray)[..., 0].tolist() == [[0, 255], [128, 64]]


def test_what_cannot_be_reported_is_told(model: LoadedModel, tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="there is no explanation to show"):
        report([], tmp_path / "a.html")
    with pytest.raises(DataError, match=r"does not end in \.html"):
        report(explain(model, noise(1)), tmp_path / "a.png")


def test_a_notebook_shows_the_page(model: LoadedModel) -> None:
    given = explain(model, noise(1), "ag_cam")._repr_mimebundle_()
    shown = given["text/html"]
    assert given["image/png"].startswith(b"\x89PNG")
    read = Read(shown)
    assert read.tags == ["iframe"]
    assert "&lt;script" in shown


def test_modules_are_short_and_share_no_name() -> None:
    names: list[str] = []
    for path in VIEWER.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 300
        assert "</" not in text, "it would end the script that it stands in"
        names += re.findall(r"^(?:export )?(?:async )?(?:function|const|let) (\w+)", text, re.MULTILINE)
    assert sorted({each for each in names if names.count(each) > 1}) == []


@pytest.mark.needs("node")
@pytest.mark.parametrize("start", ["start", "index"])
def test_the_joined_viewer_is_javascript(start: str, tmp_path: Path) -> None:
    joined = viewer(start)
    assert "import " not in joined.replace("important ", "")
    (tmp_path / "joined.mjs").write_text(joined)
    subprocess.run(["node", "--check", tmp_path / "joined.mjs"], check=True)
