"""Templates to pages of one file: no network, nothing inlined that the page's own policy does not name by its hash."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from vitreous.errors import DataError

__all__ = ["check_own_page", "macros", "render"]

_TEMPLATES = Path(__file__).with_name("templates")
_MARK = b'<meta name="generator" content="vitreous">'
_HEAD = 4096
"""Bytes of a file that are looked through for the mark."""


def render(template: str, *, script: str = "", **values: Any) -> str:
    """A page of a template that stands on base.html. Every value is escaped, but for `Markup`.

    Args:
        template: its name.
        script: a module of JavaScript that the page runs.
        values: what the template asks for; `title` always.
    """
    style = (_TEMPLATES / "page.css").read_text(encoding="utf-8")
    sources = f"'{_hash(script)}'" if script else "'none'"
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src {sources}; base-uri 'none'; "
        "form-action 'none'"
    )
    inlined = {"policy": policy, "style": Markup(style), "script": Markup(script)}  # our own files
    return _environment().get_template(template).render(**inlined, **values)


def macros(template: str) -> Callable[[str], Callable[..., Markup]]:
    """Gives a template's macros by name."""
    module = _environment().get_template(template).module
    return lambda name: getattr(module, name)


def check_own_page(path: Path) -> None:
    """Refuse to write over a file that is no page of ours.

    Raises:
        DataError: it is something else, or cannot be read.
    """
    if not path.exists():
        return
    try:
        with path.open("rb") as file:
            own = _MARK in file.read(_HEAD)
    except OSError:
        own = False
    if not own:
        raise DataError(
            f"`{path}` is there already, and is no page of vitreous. Move it away, or choose another output."
        )


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _hash(text: str) -> str:
    """Of an inlined text, as a policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
