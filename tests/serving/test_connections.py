"""On real connections: who trickles, does not read or leaves is cut off, and frees what was being done for them."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace

import httpx
import pytest

from tests.serving.conftest import LIMITS, png
from vitreous.models.zoo import LoadedModel
from vitreous.serving.server import address_of, listening, make_server

pytestmark = pytest.mark.slow

SHORT = 0.5
LIMITED = replace(LIMITS, head_seconds=SHORT, taking_seconds=SHORT, upload_seconds=SHORT, seconds=60.0, waiting=4)
LONGEST = 10.0


@pytest.fixture(scope="module")
def address(model: LoadedModel) -> Iterator[str]:
    with listening("127.0.0.1", 0) as listener:
        server = make_server([model], listener, LIMITED)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield address_of(listener)
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture
def connect(address: str) -> Iterator[Callable[[], socket.socket]]:
    opened: list[socket.socket] = []

    def one() -> socket.socket:
        opened.append(socket.socket())
        opened[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        opened[-1].settimeout(LONGEST)
        opened[-1].connect(("127.0.0.1", httpx.URL(address).port))
        return opened[-1]

    yield one
    for each in opened:
        each.close()


def head(address: str, what: str, *more: str) -> bytes:
    return "\r\n".join([f"{what} HTTP/1.1", f"Host: {httpx.URL(address).netloc.decode()}", *more, "", ""]).encode()


def trickle(connection: socket.socket, sent: bytes) -> tuple[float, bytes]:
    """Send a byte now and then; seconds until the other side had enough, and what it said."""
    began, said = time.monotonic(), b""
    connection.settimeout(SHORT / 10)
    for byte in sent:
        try:
            connection.sendall(bytes([byte]))
            if not (came := connection.recv(65_536)):
                break
            said += came
        except TimeoutError:
            continue
        except OSError:
            break
    return time.monotonic() - began, said


@pytest.mark.parametrize("before", [False, True])
def test_a_request_that_trickles_is_cut_off(
    connect: Callable[[], socket.socket], address: str, *, before: bool
) -> None:
    connection = connect()
    if before:  # a connection that was of use is bounded all the same
        connection.sendall(head(address, "GET /nothing"))
        assert b"404" in connection.recv(65_536)
    seconds, _ = trickle(connection, head(address, "GET /", "X-Long: " + 1000 * "x"))
    assert seconds < 4 * SHORT


def test_a_body_that_trickles_is_told_so(connect: Callable[[], socket.socket], address: str) -> None:
    connection = connect()
    connection.sendall(head(address, "POST /pictures", "Content-Length: 1000"))
    seconds, said = trickle(connection, bytes(1000))
    assert seconds < 6 * SHORT
    assert b"this took more than 0.5 seconds to come" in said


def test_a_body_that_nobody_wants_is_cut_off(connect: Callable[[], socket.socket], address: str) -> None:
    connection = connect()
    connection.sendall(head(address, "GET /nothing", "Content-Length: 100000"))
    seconds, said = trickle(connection, bytes(1000))
    assert b"404" in said
    assert seconds < 4 * SHORT


def test_who_does_not_read_is_cut_off(connect: Callable[[], socket.socket], address: str) -> None:
    connection = connect()
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(head(address, "GET /") * 40)
        time.sleep(6 * SHORT)
        while connection.recv(1 << 20):
            pass
    began = time.monotonic()
    with pytest.raises(OSError, match=r"."):  # noqa: PT012
        while time.monotonic() < began + LONGEST:
            connection.sendall(b"x")
            time.sleep(0.05)


def test_a_visitor_comes_through_a_crowd_of_silent_ones(connect: Callable[[], socket.socket], address: str) -> None:
    for _ in range(64):
        connect()
    assert httpx.get(address).status_code == 503
    until = time.monotonic() + LONGEST
    while (code := httpx.get(address).status_code) == 503 and time.monotonic() < until:
        time.sleep(0.1)
    assert code == 200
    assert time.monotonic() < until - LONGEST + 8 * SHORT


def slow_question(address: str) -> bytes:
    """Some minutes of work."""
    picture = httpx.post(address + "pictures", content=png()).json()["picture"]
    body = json.dumps({"picture": picture, "methods": ["rise", "mgrw", "occlusion"], "trust": True}).encode()
    return head(address, "POST /explain", f"Content-Length: {len(body)}") + body


def slow_form(address: str) -> bytes:
    sent = httpx.Request("POST", address, data={"method": ["rise", "mgrw"]}, files={"file": ("x", png())})
    body = sent.read()
    more = (f"Content-Type: {sent.headers['content-type']}", f"Content-Length: {len(body)}")
    return head(address, "POST /plain", *more) + body


@pytest.mark.parametrize("ask", [slow_question, slow_form])
def test_who_leaves_frees_the_model(
    connect: Callable[[], socket.socket], address: str, ask: Callable[[str], bytes]
) -> None:
    for _ in range(5):  # more than may wait
        with closing(connect()) as connection:
            connection.sendall(ask(address))
            time.sleep(0.2)
    began = time.monotonic()
    picture = httpx.post(address + "pictures", content=png()).json()["picture"]
    asked = {"picture": picture, "methods": ["ag_cam"], "trust": False}
    told = httpx.post(address + "explain", json=asked, timeout=LONGEST).text.splitlines()[-1]
    assert "result" in json.loads(told)
    assert time.monotonic() - began < LONGEST
