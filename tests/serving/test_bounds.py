"""What is asked is checked and bounded: who asks, for what, in how many bytes and how long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.medical.made import dicom
from tests.serving.conftest import HOST, LIMITS, asked, lines, png
from vitreous.models.zoo import LoadedModel
from vitreous.serving.app import make_app
from vitreous.serving.guard import own_hosts


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


def test_pixels_of_medical_files_are_counted_before_they_are_decoded(client: TestClient, tmp_path: Path) -> None:
    encoded = dicom(tmp_path / "a.dcm", np.zeros((20, 30), np.uint16), WindowCenter=1, WindowWidth=2).read_bytes()
    assert client.post("/pictures", content=encoded).status_code == 201
    rows = encoded.index(b"\x28\x00\x10\x00US\x02\x00") + 8
    claimed = encoded[:rows] + b"\xe8\x03" + encoded[rows + 2 :]
    answer = client.post("/pictures", content=claimed)
    assert answer.status_code == 400
    assert "30×1000 pixels; 1 to 10,000 are read" in answer.json()["error"]


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
