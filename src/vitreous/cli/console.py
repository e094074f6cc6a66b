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
from rich.text import Text

from vitreous.errors import ExplainWarning
from vitreous.files.names import printable

__all__ = ["Console", "complain", "plain_warnings"]


class Console(RichConsole):
    """Rich's, in which control characters of what is shown are written out, also those that would begin another line.

    Those of its styles, and the lines that it breaks itself, are its own.
    """

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is shown, piece by piece."""
        whole = Text("\\x0a").join(renderable.split("\n")) if isinstance(renderable, Text) else renderable
        for piece in super().render(whole, options):
            text = "\n".join(map(printable, piece.text.split("\n")))
            yield piece if piece.control else Segment(text, piece.style)


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
