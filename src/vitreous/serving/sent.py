"""What a request carries: bytes that are counted as they come, and the fields of a plain form in them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from email.message import Message
from typing import Any

from starlette.requests import Request

from vitreous.errors import DataError

__all__ = ["TooLarge", "read_body", "read_form", "read_json"]

_FIELDS, _HEAD = 64, 1_000
"""Of a form: how many fields are looked at, and how many bytes may stand above the value of one."""
_DIGITS = 18
"""Of a length that may be one."""
_NO_FORM = "the request is no form of this server's page. Load the page again."


class TooLarge(DataError):
    """A request has more bytes than it may."""


async def read_body(request: Request, most: int, seconds: float) -> bytes:
    """The body, counted as it comes.

    Raises:
        DataError: it has more bytes, or takes longer.
    """
    too_large = TooLarge(f"this has more than {most:,} bytes, which is all that is taken. Make it smaller first.")
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > _DIGITS or int(announced) > most):
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise too_large
                parts.append(part)
    except TimeoutError:
        raise DataError(f"this took more than {seconds:g} seconds to come. Send it again.") from None
    return b"".join(parts)


async def read_json(request: Request, most: int, seconds: float) -> Any:
    """What a body says, as JSON.

    Raises:
        DataError: it is none, or as `read_body`.
    """
    body = await read_body(request, most, seconds)
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise DataError("the request is no JSON. Load the page again.") from None


def read_form(body: bytes, kind: str) -> Sequence[tuple[str, bytes]]:
    r"""Names and values of a form with a file in it, in order. Names of files are not taken.

    Args:
        body: as it came.
        kind: its content type, which says how fields are told apart.

    Raises:
        DataError: it is no such form, or has too many fields.

    >>> body = b'--x\r\nContent-Disposition: form-data; name="method"\r\n\r\nag_cam\r\n--x--\r\n'
    >>> read_form(body, "multipart/form-data; boundary=x")
    [('method', b'ag_cam')]
    """
    about = _header("content-type", kind)
    border = about.get_boundary()
    if about.get_content_type() != "multipart/form-data" or not border:
        raise DataError(_NO_FORM)
    first, *parts = (b"\r\n" + body).split(b"\r\n--" + border.encode("latin-1", "replace"), _FIELDS + 2)
    if first or not parts or not parts[-1].startswith(b"--"):
        raise DataError(_NO_FORM)
    return [_field(part) for part in parts[:-1]]


def _field(part: bytes) -> tuple[str, bytes]:
    end = part.find(b"\r\n\r\n", 0, _HEAD)
    if end < 0 or not part.startswith(b"\r\n"):
        raise DataError(_NO_FORM)
    for line in part[:end].split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-disposition":
            named = _header("content-disposition", value.decode("latin-1")).get_param("name", "", "content-disposition")
            return str(named), part[end + 4 :]
    raise DataError(_NO_FORM)


def _header(name: str, value: str) -> Message:
    """One header, to read its parameters."""
    message = Message()
    message[name] = value.strip()
    return message
