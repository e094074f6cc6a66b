"""Every address answers what it should, to whom it should, within its bounds; and every error is a sentence."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.medical.made import dicom
from tests.serving.conftest import HOST, LIMITS, asked, lines, png
from tests.tiny import GOOD, noise
from vitreous import explain
from vitreous.data.pictures import SUFFIXES
from vitreous.models.zoo import LoadedModel
from vitreous.serving.app import make_app


def test_the_page_holds_all_that_it_needs_under_a_strict_policy(client: TestClient) -> None:
    answer = client.get("/")
    said = answer.headers["content-security-policy"]
    assert "default-src 'none'" in said
    assert "frame-ancestors 'none'" in said
    assert "unsafe" not in said
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in answer.headers
    assert 'src="http' not in answer.text


def test_the_dialog_of_files_shows_every_kind_that_is_taken(client: TestClient) -> None:
    (accepted,) = re.findall('type="file" name="file" accept="([^"]*)"', client.get("/").text)
    assert {*accepted.split(",")} == {"image/*", *SUFFIXES} >= {".dcm", ".tiff", ".webp", ".avif"}


def test_a_picture_is_explained_as_python_explains_it(client: TestClient, model: LoadedModel, picture: str) -> None:
    found = lines(client.post("/explain", json=asked(picture, methods=["ag_cam", "rollout"], target=2)))[-1]
    expected = explain(model, noise(1), "ag_cam", 2)
    assert [each["title"] for each in found["data"]["methods"]] == ["AG-CAM", "Rollout"]
    packed = found["data"]["methods"][0]["maps"][0]
    assert (packed["rows"], packed["columns"]) == tuple(expected.heatmap.shape[1:])
    assert found["data"]["classes"][0]["name"] == model.class_names[2]
    assert [each["index"] for each in found["predicted"]] == expected.logits[0].argsort(descending=True).tolist()  # type: ignore[index]
    assert "<h1>hen" in found["html"]
    report = client.get(f"/results/{found['result']}/report.html")
    assert report.headers["content-disposition"].startswith("attachment")
    assert report.text.startswith("<!doctype html>")
    assert "AG-CAM" in report.text


def test_how_patches_are_related_is_asked_of_the_model_once(
    client: TestClient, picture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"picture": picture, "trust": False}

    def explained(**more: Any) -> Any:
        return lines(client.post("/explain", json=asked | more))[-1]["data"]["relations"]

    first = explained(methods=["ag_cam"])
    target = explained(methods=["ag_cam"], target=1)
    other = client.post("/pictures", content=png()).json()["picture"]
    assert explained(picture=other, methods=["ag_cam"], target=1) == target
    assert (target["alike"], target["attends"]) == (first["alike"], first["attends"])
    monkeypatch.setattr("vitreous.interact.relations.patch_features", None)  # who needs it anew fails
    assert explained(methods=["rollout"], target=1) == target
    assert explained(methods=["rollout"], target=2)["matters"] != target["matters"]
    with pytest.raises(TypeError):
        explained(methods=["rollout"], target=2, model=1)


def test_one_class_is_held_against_another(client: TestClient, picture: str) -> None:
    found = lines(client.post("/explain", json=asked(picture, target=1, against=2)))[-1]
    assert "rather than hen" in found["html"]


def test_trust_and_slow_methods_tell_how_far_they_are(client: TestClient, picture: str) -> None:
    told = lines(client.post("/explain", json=asked(picture, trust=True)))
    assert told[0]["of"] >= told[0]["done"] > 0
    assert "random orders" in told[-1]["html"]


def test_hidden_patches_are_measured_and_foretold(client: TestClient, model: LoadedModel, picture: str) -> None:
    result = lines(client.post("/explain", json=asked(picture)))[-1]["result"]
    hidden = {"result": result, "rows": 4, "columns": 4, "patches": [0, 5]}
    found = lines(client.post("/hide", json=hidden))[-1]
    assert found["of"].startswith("probability of ")
    assert found["measured"] != found["before"]
    assert [each["map"] for each in found["foretold"]] == ["AG-CAM"]
    none = lines(client.post("/hide", json={**hidden, "patches": []}))[-1]
    assert none["measured"] == pytest.approx(none["before"], abs=1e-6)
    assert none["foretold"][0]["value"] == pytest.approx(none["before"], abs=1e-6)
    assert "no such class" in lines(client.post("/hide", json={**hidden, "which": 3}))[-1]["error"]


def test_single_heads_are_asked_for_block_by_block(client: TestClient, picture: str) -> None:
    told = lines(client.post("/explain", json=asked(picture)))[-1]
    about = told["data"]["relations"]["attends"]
    found = lines(client.post("/heads", json={"result": told["result"], "block": 1}))[-1]
    assert (found["layers"], found["per"], found["rows"]) == (about["heads"], "head", 4)
    assert "no block named" in lines(client.post("/heads", json={"result": told["result"], "block": 9}))[-1]["error"]
    assert "error" in client.post("/heads", json={"result": "none", "block": 0}).json()


def test_a_refused_method_is_told_beside_the_others(client: TestClient, picture: str) -> None:
    found = lines(client.post("/explain", json=asked(picture, methods=["ag_cam", "cam"])))[-1]
    assert "No map: " in found["html"]
    assert "error" in lines(client.post("/explain", json=asked(picture, methods=["cam"])))[-1]


@pytest.mark.filterwarnings("ignore:`picture`. the file gives no window")
def test_what_reading_a_picture_has_found_out_is_on_the_page(client: TestClient, tmp_path: Path) -> None:
    encoded = dicom(tmp_path / "a.dcm", np.arange(600, dtype=np.uint16).reshape(20, 30)).read_bytes()
    picture = client.post("/pictures", content=encoded).json()["picture"]
    page = lines(client.post("/explain", json=asked(picture)))[-1]["html"]
    assert "the file gives no window, so the whole range of its values was taken" in page
    assert "not for diagnosis" in page


@pytest.mark.parametrize("name", ["rotated.jpg", "palette.png", "cmyk.jpg", "pixel.png"])
def test_a_file_means_the_same_as_on_the_command_line(
    client: TestClient, model: LoadedModel, tmp_path: Path, name: str
) -> None:
    GOOD[name](tmp_path / name)
    picture = client.post("/pictures", content=(tmp_path / name).read_bytes()).json()["picture"]
    found = lines(client.post("/explain", json=asked(picture)))[-1]
    values = np.frombuffer(base64.b64decode(found["data"]["methods"][0]["maps"][0]["values"]), "<f4")
    np.testing.assert_allclose(values, explain(model, tmp_path / name).heatmap[0].flatten(), rtol=1e-4, atol=1e-7)


def test_halves_of_letters_are_told_as_files_tell_them(model: LoadedModel) -> None:
    """JSON may say them, as a name of a class too, and they are no UTF-8."""
    named = replace(model, class_names=("\ud800", *model.class_names[1:]))
    with TestClient(make_app([named], frozenset({HOST}), LIMITS), base_url=f"http://{HOST}") as client:
        assert client.get("/").status_code == 200
        refused = client.post("/explain", content=b'{"picture": "none", "methods": ["\\ud800"]}')
        assert (refused.status_code, refused.headers["content-type"]) == (404, "application/json")
        picture = client.post("/pictures", content=png()).json()["picture"]
        refused = client.post("/explain", content=json.dumps(asked(picture, methods=["\ud800"])))
        assert refused.status_code == 400
        assert refused.json()["error"].startswith('no method named "\ud800"')
        found = lines(client.post("/explain", json=asked(picture, target=0)))[-1]
        report = client.get(f"/results/{found['result']}/report.html")
        assert report.status_code == 200
        assert "\\ud800" in report.text
        plain = client.post("/plain", files={"file": png()}, data={"method": "rollout"})
        assert plain.status_code == 200
