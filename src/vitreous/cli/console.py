"""Where commands write, and how much: names from files cannot command the terminal."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import typer
from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from vitreous.errors import ExplainWarning
from vitreous.files.names import printable

__all__ = ["Console", "complain", "plain_warnings", "quiet", "say", "talkative"]

_QUIET = ContextVar("quiet", default=False)


class Console(RichConsole):
    """Rich's, in which control characters of what is shown are written out, also those that would begin another line.

    Those of its styles, and the lines that it breaks itself, are its own. Within `quiet`, nothing is shown on standard
    output, unless it says quiet=False.
    """

    def __init__(self, *, quiet: bool | None = None, **settings: Any) -> None:
        silent = _QUIET.get() and not settings.get("stderr")
        super().__init__(quiet=silent if quiet is None else quiet, **settings)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is shown, piece by piece."""
        whole = Text("\\x0a").join(renderable.split("\n")) if isinstance(renderable, Text) else renderable
        for piece in super().render(whole, options):
            text = "\n".join(map(printable, piece.text.split("\n")))
            yield piece if piece.control else Segment(text, piece.style)


def say(text: str) -> None:
    """A line on standard output."""
    if not _QUIET.get():
        typer.echo(printable(text))


def complain(text: str) -> None:
    """An error in one line."""
    typer.echo(printable(f"Error: {text}"), err=True)


@contextmanager
def plain_warnings() -> Generator[None]:
    """Within the block, a warning of ours is one line, each once; those of others stay as they are."""
    told: set[str] = set()
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if not issubclass(category, ExplainWarning):
                usual(message, category, *where, **more)
            elif str(message) not in told:  # a picture may be read again, from another place
                told.add(str(message))
                typer.echo(printable(f"Warning: {message}"), err=True)

        warnings.showwarning = show
        warnings.simplefilter("always", ExplainWarning)
        yield


@contextmanager
def quiet() -> Generator[None]:
    """Within the block, commands write errors and warnings alone."""
    before = _QUIET.set(True)
    try:
        yield
    finally:
        _QUIET.reset(before)


@contextmanager
def talkative() -> Generator[None]:
    """Within the block, what the libraries log is shown, and at its end how long it took."""
    root, handler, start = logging.getLogger(), logging.StreamHandler(), time.monotonic()
    handler.setFormatter(_Printable("%(name)s: %(message)s"))
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
        typer.echo(f"Took {time.monotonic() - start:.1f} s.", err=True)


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))
