"""Every address answers what it should, to whom it should, within its bounds; and every error is a sentence."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from tests.medical.made import dicom
from tests.serving.conftest import HOST, LIMITS, lines, png
from tests.tiny import GOOD, noise
from vitreous import explain
from vitreous.errors import DataError
from vitreous.models.zoo import LoadedModel
from vitreous.serving.app import make_app
from vitreous.serving.guard import own_hosts
from vitreous.serving.sent import read_form


def asked(picture: str, **more: Any) -> dict[str, Any]:
    return {"picture": picture, "methods": ["ag_cam"], "trust": False, **more}


def test_the_page_holds_all_that_it_needs_under_a_strict_policy(client: TestClient) -> None:
    answer = client.get("/")
    said = answer.headers["content-security-policy"]
    assert "default-src 'none'" in said
    assert "frame-ancestors 'none'" in said
    assert "unsafe" not in said
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in answer.headers
    assert 'src="http' not in answer.text


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


def test_samples_are_taken_by_name_alone(client: TestClient) -> None:
    assert client.post("/samples/horse").status_code == 201
    for name in ("..%2F..%2Fetc%2Fpasswd", "horse.jpg", "nothing"):
        answer = client.post(f"/samples/{name}")
        assert answer.status_code in (400, 404)
        assert answer.json()["error"].endswith(".")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"methods": []}, "Choose one"),
        ({"methods": ["os:system"]}, "no method named"),
        ({"methods": ["tests.tiny:noise"]}, "no method named"),
        ({"methods": "ag_cam"}, "Give"),
        ({"target": 99}, "no class named"),
        ({"target": "/etc/passwd"}, "Give"),
        ({"against": -1}, "no class named"),
        ({"model": 7}, "no model named"),
        ({"model": "timm:vit_base_patch16_224"}, "Give"),
        ({"picture": "../x"}, "is not held"),
        ({"output": "/tmp"}, "no object with the fields"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    client: TestClient, picture: str, values: dict[str, Any], words: str
) -> None:
    answer = client.post("/explain", json=asked(picture) | values)
    assert answer.status_code in (400, 404)
    assert words in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"not json", b"[1]", b"[" * 1500, b"\xff\xfe"])
def test_what_is_no_request_is_refused(client: TestClient, body: bytes) -> None:
    for address in ("/explain", "/hide"):
        answer = client.post(address, content=body)
        assert answer.status_code == 400
        assert answer.json()["error"].endswith("Load the page again.")


@pytest.mark.parametrize(
    ("grid", "words"),
    [
        ({"rows": 0}, "too large, or none"),
        ({"rows": 10**6, "columns": 10**6}, "too large, or none"),
        ({"patches": [16]}, "lies beyond"),
        ({"patches": [-1]}, "lies beyond"),
        ({"result": "x"}, "is not held"),
    ],
)
def test_what_cannot_be_hidden_is_refused(client: TestClient, picture: str, grid: dict[str, Any], words: str) -> None:
    result = lines(client.post("/explain", json=asked(picture)))[-1]["result"]
    answer = client.post("/hide", json={"result": result, "rows": 4, "columns": 4, "patches": [0]} | grid)
    assert words in answer.json()["error"]


def test_uploads_are_bounded_in_bytes_pixels_and_kind(client: TestClient) -> None:
    answers = {
        "bytes": client.post("/pictures", content=b"x" * 100_001),
        "counted": client.post("/pictures", content=iter([b"x" * 60_000, b"x" * 60_000])),
        "pixels": client.post("/pictures", content=png(1, (101, 100))),
        "kind": client.post("/pictures", content=b"GIF89a and then nothing"),
        "empty": client.post("/pictures", content=b""),
        "truncated": client.post("/pictures", content=png()[:200]),
    }
    assert {name: each.status_code for name, each in answers.items()} == dict.fromkeys(answers, 400) | {
        "bytes": 413,
        "counted": 413,
    }
    assert "more than 10,000 pixels" in answers["pixels"].json()["error"]
    assert all(each.json()["error"].endswith(".") for each in answers.values())


def test_other_names_and_other_sites_are_refused(client: TestClient, picture: str) -> None:
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 403
    assert client.get("/", headers={"Host": "127.0.0.1"}).status_code == 403
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = client.post("/explain", json=asked(picture), headers=headers)
        assert answer.status_code == 403
        assert "another site" in answer.json()["error"]
    assert client.post("/samples/dog", headers={"Origin": f"http://{HOST}"}).status_code == 201
    assert "192.168.1.5:80" in own_hosts("192.168.1.5", 80)


def test_what_is_held_is_bounded_and_what_went_is_told(client: TestClient, picture: str) -> None:
    for _ in range(LIMITS.held):
        client.post("/pictures", content=png())
    answer = client.post("/explain", json=asked(picture))
    assert answer.status_code == 404
    assert "not held any more" in answer.json()["error"]


def plainly(client: TestClient, methods: list[str], file: bytes = b"", **fields: str) -> Any:
    """Send the form as a browser does that runs no scripts."""
    return client.post("/plain", data={"method": methods, "model": "0", **fields}, files={"file": ("x.png", file)})


def test_without_scripts_a_picture_of_ones_own_is_explained(client: TestClient) -> None:
    assert "<noscript>" in client.get("/").text
    page = plainly(client, ["ag_cam", "rollout"], png(), model="1")
    assert page.status_code == 200
    assert "Rollout on picture" in page.text
    assert "random orders" not in page.text
    assert "random orders" in plainly(client, ["ag_cam"], png(), trust="on").text


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ({"methods": ["ag_cam"]}, "no picture was given"),
        ({"methods": ["ag_cam"], "file": b"GIF89a and then nothing"}, "known format"),
        ({"methods": ["ag_cam"], "file": png(1, (101, 100))}, "more than 10,000 pixels"),
        ({"methods": ["ag_cam"], "sample": "horse"}, "more than 10,000 pixels"),
        ({"methods": ["ag_cam"], "sample": "../../etc/passwd"}, "no sample picture named"),
        ({"methods": ["os:system"], "file": png()}, "no method named"),
        ({"methods": [], "file": png()}, "Choose one"),
        ({"methods": ["ag_cam"], "file": png(), "model": "9"}, "no model named"),
        ({"methods": ["ag_cam"], "file": png(), "model": "timm:x"}, "no model named"),
        ({"methods": ["ag_cam"], "file": png()[:200]}, "damaged"),
    ],
)
def test_without_scripts_what_cannot_be_is_told_on_a_page(client: TestClient, sent: dict[str, Any], words: str) -> None:
    page = plainly(client, **sent)
    said = html.unescape(page.text)
    assert page.status_code == 400
    assert words in said
    assert '<a href="/">Back</a>' in said
    assert "style-src 'sha256-" in said
    assert "default-src" not in page.headers["content-security-policy"], "the page's own policy knows its style"


def test_without_scripts_a_form_is_bounded(client: TestClient) -> None:
    assert plainly(client, ["ag_cam"], bytes(102_001)).status_code == 413
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    field = b'--x\r\nContent-Disposition: form-data; name="method"\r\n\r\nag_cam\r\n'
    for body in (b"", b"--x--", b"--x", field, field * 70 + b"--x--", b"--x\r\n\r\n\r\nag_cam\r\n--x--", b"\xff" * 99):
        page = client.post("/plain", content=body, headers=kind)
        assert page.status_code == 400
        assert "Load the page again." in page.text or "no picture was given" in page.text
    assert "no form of this server" in client.post("/plain", content=b"method=ag_cam").text


@given(st.binary(max_size=300), st.binary(max_size=60))
def test_any_form_is_read_or_refused(body: bytes, border: bytes) -> None:
    kind = border.decode("latin-1")
    for each in (kind, "multipart/form-data; boundary=x", f"multipart/form-data; boundary={kind}"):
        with suppress(DataError):
            assert all(isinstance(value, bytes) for _, value in read_form(b"--x\r\n" + body + b"\r\n--x--", each))


def test_pixels_of_medical_files_are_counted_before_they_are_decoded(client: TestClient, tmp_path: Path) -> None:
    encoded = dicom(tmp_path / "a.dcm", np.zeros((20, 30), np.uint16), WindowCenter=1, WindowWidth=2).read_bytes()
    assert client.post("/pictures", content=encoded).status_code == 201
    rows = encoded.index(b"\x28\x00\x10\x00US\x02\x00") + 8
    claimed = encoded[:rows] + b"\xe8\x03" + encoded[rows + 2 :]
    answer = client.post("/pictures", content=claimed)
    assert answer.status_code == 400
    assert "30×1000 pixels; 1 to 10,000 are read" in answer.json()["error"]


@pytest.mark.filterwarnings("ignore:`picture`. the file gives no window")
def test_what_reading_a_picture_has_found_out_is_on_the_page(client: TestClient, tmp_path: Path) -> None:
    encoded = dicom(tmp_path / "a.dcm", np.arange(600, dtype=np.uint16).reshape(20, 30)).read_bytes()
    picture = client.post("/pictures", content=encoded).json()["picture"]
    page = lines(client.post("/explain", json=asked(picture)))[-1]["html"]
    assert "the file gives no window, so the whole range of its values was taken" in page
    assert "not for diagnosis" in page


def test_other_addresses_are_no_files(client: TestClient) -> None:
    for address in ("/etc/passwd", "/..%2f..%2fetc/passwd", "/docs", "/explain", "/results/x/../../y"):
        answer = client.get(address)
        assert answer.status_code in (404, 405)
        assert "nothing at this address" in answer.json()["error"]


@pytest.fixture
def hurried(model: LoadedModel) -> Iterator[TestClient]:
    app = make_app([model], frozenset({HOST}), replace(LIMITS, seconds=0.0))
    with TestClient(app, base_url=f"http://{HOST}") as client:
        yield client


def test_time_is_bounded(hurried: TestClient) -> None:
    picture = hurried.post("/pictures", content=png()).json()["picture"]
    told = lines(hurried.post("/explain", json=asked(picture)))
    assert "is all that a request has" in told[-1]["error"]
    again = lines(hurried.post("/explain", json=asked(picture)))
    assert "is all that a request has" in again[-1]["error"], "the thread goes on"


@pytest.mark.parametrize("name", ["rotated.jpg", "palette.png", "cmyk.jpg", "pixel.png"])
def test_a_file_means_the_same_as_on_the_command_line(
    client: TestClient, model: LoadedModel, tmp_path: Path, name: str
) -> None:
    GOOD[name](tmp_path / name)
    picture = client.post("/pictures", content=(tmp_path / name).read_bytes()).json()["picture"]
    found = lines(client.post("/explain", json=asked(picture)))[-1]
    values = np.frombuffer(base64.b64decode(found["data"]["methods"][0]["maps"][0]["values"]), "<f4")
    np.testing.assert_allclose(values, explain(model, tmp_path / name).heatmap[0].flatten(), rtol=1e-4, atol=1e-7)
