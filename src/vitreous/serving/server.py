"""The server that `vitreous serve` starts."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from vitreous.errors import DataError, MissingExtra
from vitreous.inside.given import NOTHING, Given
from vitreous.serving.limits import Limits

if TYPE_CHECKING:
    import uvicorn

    from vitreous.models.loaded import LoadedModel

__all__ = ["address_of", "listening", "make_server", "serve"]

_CONNECTIONS = 64
_IDLE = 5
"""Seconds that a connection may stay open without a request."""


def serve(
    models: Sequence[LoadedModel], listener: socket.socket, *, started: Callable[[str], None], given: Given = NOTHING
) -> None:
    """Answer until interrupted.

    Args:
        models: that visitors choose from.
        listener: from `listening`.
        started: told the page's address once it answers.
        given: what is shown besides.
    """
    server = make_server(models, listener, given=given)
    started(address_of(listener))
    server.run([listener])


def make_server(
    models: Sequence[LoadedModel],
    listener: socket.socket,
    limits: Limits | None = None,
    given: Given = NOTHING,
) -> uvicorn.Server:
    """What answers, within limits, when it is run.

    Args:
        models: that visitors choose from.
        listener: from `listening`.
        limits: of what visitors may ask for; None for the usual.
        given: what is shown besides.
    """
    import uvicorn

    from vitreous.serving.app import make_app
    from vitreous.serving.connections import bounded
    from vitreous.serving.guard import own_hosts

    limits = limits or Limits()
    config = uvicorn.Config(
        make_app(models, own_hosts(*listener.getsockname()[:2]), limits, given),
        http=bounded(limits),
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=_IDLE,
    )
    return uvicorn.Server(config)


def address_of(listener: socket.socket) -> str:
    """Of the page."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there; it is closed by whoever asked for it.

    Args:
        host: an address of this machine; only the machine itself reaches 127.0.0.1.
        port: 0 for any that is free.

    Raises:
        MissingExtra: Starlette or uvicorn is not installed.
        DataError: nothing can listen there, or the host stands for all addresses: requests could then not be told from
            those that another site sends.
    """
    for package in ("starlette", "uvicorn"):
        if find_spec(package) is None:
            raise MissingExtra(package, "web")
    if _is_everywhere(host):
        raise DataError(f"'{host}' stands for every address of this machine. Name the one that others reach it by.")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()  # who comes before the server answers waits, and is not refused
    except OSError as error:
        listener.close()
        raise DataError(
            f"nothing can listen at {host}, port {port}: {error.strerror or error}. Choose another port or host."
        ) from None
    return listener


def _is_everywhere(host: str) -> bool:
    """Whether it stands for all addresses.

    >>> _is_everywhere("0.0.0.0"), _is_everywhere("::"), _is_everywhere("127.0.0.1"), _is_everywhere("localhost")
    (True, True, False, False)
    """
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return not host
