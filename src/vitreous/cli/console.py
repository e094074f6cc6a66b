"""Where commands write: names from files cannot command the terminal."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from vitreous.errors import ExplainWarning
from vitreous.files.names import printable

__all__ = ["Console", "complain", "plain_warnings"]


class Console(RichConsole):
    """Rich's, in which control characters of what is shown are written out; those of its styles are its own."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is shown, piece by piece."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(printable(piece.text), piece.style)


def complain(text: str) -> None:
    """An error in one line."""
    typer.echo(printable(f"Error: {text}"), err=True)


@contextmanager
def plain_warnings() -> Generator[None]:
    """Within the block, a warning of ours is one line; those of others stay as they are."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if issubclass(category, ExplainWarning):
                typer.echo(printable(f"Warning: {message}"), err=True)
            else:
                usual(message, category, *where, **more)

        warnings.showwarning = show
        warnings.simplefilter("default", ExplainWarning)  # each once
        yield
