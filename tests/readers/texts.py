"""What a page sends and a command line says."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import typer
from starlette.requests import Request
from torch.nn import Identity, Sequential

from tests.readers.read import Read
from vitreous.cli.options import output_of, pair_of
from vitreous.data.depth import asked_window
from vitreous.errors import DataError
from vitreous.explaining.targets import as_target, choose_classes
from vitreous.serving.asked import Explain, Heads, Hide, mask_of, read
from vitreous.serving.sent import read_form, read_json
from vitreous.trace.edit import find_part
from vitreous.trace.reading import Reading

_FORM = (
    b'--x\r\nContent-Disposition: form-data; name="method"\r\n\r\nag_cam\r\n'
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\nabc\r\n--x--\r\n'
)


def _form(root: Path) -> Read:
    (root / "body").write_bytes(_FORM)
    (root / "kind").write_bytes(b"multipart/form-data; boundary=x")
    return lambda: read_form((root / "body").read_bytes(), (root / "kind").read_bytes().decode("latin-1"))


_REQUESTS: dict[Any, str] = {
    Explain: '{"picture": "a", "methods": ["ag_cam"], "model": 0, "target": 1, "against": null, "trust": false}',
    Hide: '{"result": "a", "rows": 4, "columns": 4, "patches": [0, 3], "which": 0}',
    Heads: '{"result": "a", "block": 0}',
}


def _request(kind: Any, root: Path) -> Read:
    (root / "body").write_text(_REQUESTS[kind])

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": (root / "body").read_bytes(), "more_body": False}

    def ask() -> object:
        request = Request({"type": "http", "headers": []}, receive)
        asked = read(kind, asyncio.run(read_json(request, 2000, 5.0)))
        return mask_of(asked, 4096) if isinstance(asked, Hide) else asked

    return ask


def _grid(text: str) -> object:
    try:
        return pair_of(text, "--grid")
    except typer.BadParameter as error:
        raise DataError(str(error)) from None


_PARTS = Sequential(Sequential(Identity()))
_TEXTS: dict[str, tuple[str, Callable[[str], object]]] = {
    "window": ("0,4095", asked_window),
    "grid": ("14,7", _grid),
    "patches": ("1:17", lambda text: Reading().but(patches=text)),
    "places": ("1,2,5", lambda text: Reading().but(patches=text)),
    "part": ("0.0", lambda text: find_part(_PARTS, text)),
    "target": ("12", lambda text: as_target(text, ("cat", "12 monkeys"))),
    "top": ("top-2", lambda text: choose_classes(text, ("cat", "hen"), torch.zeros(1, 2))),
    "output": ("-1", output_of),
}


def _text(kind: str, root: Path) -> Read:
    whole, parse = _TEXTS[kind]
    (root / "text").write_text(whole)
    return lambda: parse((root / "text").read_bytes().decode("latin-1"))


TEXTS: dict[str, Callable[[Path], Read]] = {
    "form": _form,
    **{f"request {kind.__name__}": functools.partial(_request, kind) for kind in _REQUESTS},
    **{f"text of {kind}": functools.partial(_text, kind) for kind in _TEXTS},
}
