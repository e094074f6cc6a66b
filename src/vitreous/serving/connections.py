"""Connections that take no longer than they may: who trickles a request, or does not read the answer, is cut off."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from vitreous.serving.limits import Limits

__all__ = ["bounded"]

_LOOKS = 5
"""How often in the shortest time that is allowed."""


def bounded(limits: Limits) -> Any:
    """What uvicorn makes of each connection."""
    return partial(_Bounded, limits)


class _Bounded(H11Protocol):
    """A connection that is looked at now and then. The body of a request has its own time, which its reader keeps."""

    def __init__(self, limits: Limits, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._head_seconds, self._taking_seconds = limits.head_seconds, limits.taking_seconds

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look."""
        super().connection_made(transport)
        self._seen, self._asked_at = self.cycle, self.loop.time()
        self._taken_at = self.loop.time()
        self._look()

    def _look(self) -> None:
        """End a connection of which nothing can be hoped."""
        if self not in self.connections:
            return
        now, cycle = self.loop.time(), self.cycle
        unread = self.transport.get_write_buffer_size() > 0
        if unread or cycle is not self._seen or (cycle and not cycle.response_complete):
            self._seen, self._asked_at = cycle, now
        if not unread:
            self._taken_at = now
        if now - self._asked_at > self._head_seconds or now - self._taken_at > self._taking_seconds:
            self.transport.abort()
        else:
            self.loop.call_later(min(self._head_seconds, self._taking_seconds) / _LOOKS, self._look)
