"""The page without scripts: a form explains a picture, and every error is a page."""

from __future__ import annotations

import html
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from tests.serving.conftest import png
from vitreous.errors import DataError
from vitreous.serving.sent import read_form


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
