"""What every request passes: it must be meant for this server and come from its page; and what every answer says."""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Guard", "own_hosts"]

_SAFE = ("GET", "HEAD")
_SAID = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_POLICY = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'"


def own_hosts(host: str, port: int) -> frozenset[str]:
    """What a request may call this server.

    >>> sorted(own_hosts("127.0.0.1", 8337))
    ['127.0.0.1:8337', '[::1]:8337', 'localhost:8337']
    """
    named = f"[{host}]" if ":" in host else host
    return frozenset(f"{each}:{port}" for each in (named, "localhost", "127.0.0.1", "[::1]"))


class Guard:
    """Refuses what another site sends through the visitor's browser, and hardens every answer.

    A page elsewhere may point a name of its own at this machine (DNS rebinding), which `Host` shows, or send to it
    directly, which `Origin` shows.

    Args:
        app: what is guarded.
        hosts: names that this server goes by.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def harden(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _SAID.items():
                    headers[name] = value
                headers.setdefault("Content-Security-Policy", _POLICY)
            await send(message)

        reason = self._refusal(Headers(scope=scope), scope["method"])
        app = JSONResponse({"error": reason}, 403) if reason else self._app
        await app(scope, receive, harden)

    def _refusal(self, headers: Headers, method: str) -> str:
        if headers.get("host", "") not in self._hosts:
            return "this server does not go by that name. Open the address that it printed when it started."
        origin = headers.get("origin")
        if method not in _SAFE and origin is not None and origin.removeprefix("http://") not in self._hosts:
            return "this was sent by a page of another site. Use the page of this server."
        if method not in _SAFE and headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "this was sent by a page of another site. Use the page of this server."
        return ""
