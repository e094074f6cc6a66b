"""Two hundred requests of twenty visitors, a fifth of them hostile: every good one is right, and memory stays flat."""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.serving.conftest import in_a_loop, png
from tests.tiny import noise
from vitreous import explain
from vitreous.models.zoo import LoadedModel

pytestmark = pytest.mark.slow

VISITORS, EACH, PICTURES = 20, 10, 6
METHODS = ("ag_cam", "rollout", "attn_lrp")
GROWTH = 100  # MB: what is held, and what torch and Pillow keep for the next time


@dataclass
class Seen:
    """What the visitors saw."""

    seconds: list[float] = field(default_factory=list[float])
    wrong: list[str] = field(default_factory=list[str])


@pytest.fixture
def server(model_folder: Path) -> Iterator[tuple[str, int]]:
    """Its address, and the number of its process."""
    command = [sys.executable, "-m", "vitreous", "serve", "--port", "0", "--model", str(model_folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield process.stdout.readline().split()[1], process.pid
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert "Traceback" not in said


def resident(process: int) -> float:
    """MB."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("VmRSS"))


async def explained(client: httpx.AsyncClient, seed: int, method: str) -> dict[str, Any]:
    """The answer; whoever is told that the line is full comes again."""
    picture = (await client.post("/pictures", content=png(seed))).json()["picture"]
    while True:
        request = {"picture": picture, "methods": [method], "trust": False}
        answer = await client.post("/explain", json=request)
        told = json.loads(answer.text.splitlines()[-1])
        if "wait for the model already" not in told.get("error", ""):
            return told
        await asyncio.sleep(0.2)


async def good(client: httpx.AsyncClient, at: int, expected: dict[tuple[int, str], np.ndarray], seen: Seen) -> None:
    seed, method = at % PICTURES, METHODS[at % len(METHODS)]
    start = time.perf_counter()
    told = await explained(client, seed, method)
    seen.seconds.append(time.perf_counter() - start)
    if "error" in told:
        seen.wrong.append(told["error"])
        return
    packed = told["data"]["methods"][0]["maps"][0]["values"]
    if not np.allclose(np.frombuffer(base64.b64decode(packed), "<f4"), expected[seed, method].ravel(), rtol=1e-4):
        seen.wrong.append(f"{method} of picture {seed}")


async def hostile(client: httpx.AsyncClient, at: int, seen: Seen) -> None:
    """What is sent to break it; it must be refused, or simply end."""

    async def drops() -> Any:
        yield png()[:20]
        raise ConnectionError

    match at % 6:
        case 0:
            codes = [(await client.post("/pictures", content=b"x" * 25_000_000)).status_code]
        case 1:
            codes = [(await client.post("/pictures", content=b"\x89PNG\r\n\x1a\n" + bytes(100))).status_code]
        case 2:
            codes = [(await client.get("/", headers={"Host": "evil.example"})).status_code]
        case 3:
            codes = [(await client.post("/explain", content=b"[" * 90_000)).status_code]
        case 4:
            with pytest.raises(ConnectionError):
                await client.post("/pictures", content=drops())
            codes = []
        case _:
            picture = (await client.post("/pictures", content=png(1))).json()["picture"]
            request = {"picture": picture, "methods": ["rise", "mgrw"], "trust": True}
            with suppress(TimeoutError):  # gone before the answer
                async with asyncio.timeout(0.3):
                    await client.post("/explain", json=request)
            codes = []
    seen.wrong += [f"hostile {at % 6} was answered {code}" for code in codes if not 400 <= code < 500]


async def large_ones(address: str, encoded: bytes, count: int) -> None:
    async with httpx.AsyncClient(base_url=address, timeout=120) as client:
        answers = await asyncio.gather(*(client.post("/pictures", content=encoded) for _ in range(count)))
    assert {each.status_code for each in answers} == {201}


def test_what_large_pictures_take_is_given_back(server: tuple[str, int]) -> None:
    address, process = server
    file = io.BytesIO()
    Image.new("RGB", (7_700, 5_190), "gray").save(file, "JPEG")
    before = resident(process)
    in_a_loop(large_ones(address, file.getvalue(), 12))
    assert resident(process) - before < 2.5 * GROWTH  # with blocks that are kept, twice as much


async def crowd(address: str, expected: dict[tuple[int, str], np.ndarray], rounds: int) -> Seen:
    seen, numbers = Seen(), itertools.count()

    async def visitor() -> None:
        async with httpx.AsyncClient(base_url=address, timeout=120) as client:
            for _ in range(rounds):
                at = next(numbers)
                await (hostile(client, at // 5, seen) if at % 5 == 4 else good(client, at, expected, seen))

    await asyncio.gather(*(visitor() for _ in range(VISITORS)))
    return seen


def test_a_crowd(server: tuple[str, int], model: LoadedModel, record_property: Any) -> None:
    address, process = server
    expected = {
        (seed, method): explain(model, noise(seed), method).heatmap[0].numpy()
        for seed in range(PICTURES)
        for method in METHODS
    }
    in_a_loop(crowd(address, expected, 2))  # what is loaded at the first time
    before = resident(process)
    seen = in_a_loop(crowd(address, expected, EACH))
    grown = resident(process) - before
    ranked = sorted(seen.seconds)
    p50, p95 = (ranked[math.ceil(share * len(ranked)) - 1] for share in (0.5, 0.95))
    told = f"{len(ranked)} good requests: median {p50:.2f} s, p95 {p95:.2f} s; memory {before:.0f} MB, {grown:+.0f} MB"
    record_property("told", told)
    print(told)
    assert not seen.wrong
    assert len(ranked) == VISITORS * EACH * 4 // 5
    assert grown < GROWTH
