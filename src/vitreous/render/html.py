"""Templates to pages of one file: no network, nothing inlined that the page's own policy does not name by its hash."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from vitreous.errors import DataError

__all__ = ["check_own_page", "macros", "policy", "render", "render_part", "style"]

_TEMPLATES = Path(__file__).with_name("templates")
_MARK = b'<meta name="generator" content="vitreous">'
_HEAD = 4096
"""Bytes of a file that are looked through for the mark."""
_LONG = re.compile(r"(\S{20})(?=\S)")
"""So many letters may be broken from those that follow."""


def render(template: str, *, script: str = "", served: bool = False, **values: Any) -> str:
    """A page of a template that stands on base.html. Every value is escaped, but for `Markup`.

    Args:
        template: its name.
        script: a module of JavaScript that the page runs.
        served: the page may ask the server that it comes from; else nothing leaves it.
        values: what the template asks for; `title` always.
    """
    inlined = {"policy": policy(script, served=served), "style": Markup(style()), "script": Markup(script)}  # our own
    return _environment().get_template(template).render(**inlined, **values)


def render_part(template: str, **values: Any) -> str:
    """A part of a page, for one that is open already. Every value is escaped, but for `Markup`."""
    return _environment().get_template(template).render(**values)


def policy(script: str = "", *, served: bool = False) -> str:
    """What a page may do: use its one style and its one script, show pictures that it holds, and nothing else.

    Args:
        script: that it runs.
        served: it may also ask the server that it comes from.
    """
    sources = f"'{_hash(script)}'" if script else "'none'"
    own = "'self'" if served else "'none'"
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(style())}'; script-src {sources}; connect-src {own}; "
        f"form-action {own}; base-uri 'none'"
    )


def style() -> str:
    """The one style of all pages."""
    return (_TEMPLATES / "page.css").read_text(encoding="utf-8")


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


def _breakable(text: str) -> Markup:
    """A text whose long words may be broken, so that no name makes a table wide.

    >>> _breakable("goldfish " + 25 * "x")
    Markup('goldfish xxxxxxxxxxxxxxxxxxxx<wbr>xxxxx')
    """
    parts = _LONG.split(text)
    return Markup("<wbr>").join(map("".join, zip_longest(parts[::2], parts[1::2], fillvalue="")))


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["breakable"] = _breakable
    return made


def _hash(text: str) -> str:
    """Of an inlined text, as a policy names it."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
