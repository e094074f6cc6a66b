"""The page's application with a tiny model, asked without a network."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from starlette.testclient import TestClient

from tests.tiny import noise
from vitreous.models.zoo import LoadedModel
from vitreous.serving.app import make_app
from vitreous.serving.limits import Limits

T = TypeVar("T")

HOST = "127.0.0.1:8337"
LIMITS = Limits(
    upload_bytes=100_000, pixels=10_000, waiting=1, seconds=60.0, held=8, request_bytes=2_000, upload_seconds=2.0
)


def png(seed: int = 1, size: tuple[int, int] = (40, 30)) -> bytes:
    file = io.BytesIO()
    noise(seed, size).save(file, "PNG")
    return file.getvalue()


def asked(picture: str, **more: Any) -> dict[str, Any]:
    return {"picture": picture, "methods": ["ag_cam"], "trust": False, **more}


def lines(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def in_a_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it on a thread of its own: a browser of other tests may keep a loop in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, coroutine).result()


@pytest.fixture
def client(model: LoadedModel) -> Iterator[TestClient]:
    with TestClient(make_app([model, model], frozenset({HOST}), LIMITS), base_url=f"http://{HOST}") as client:
        yield client


@pytest.fixture
def picture(client: TestClient) -> str:
    return client.post("/pictures", content=png()).json()["picture"]
