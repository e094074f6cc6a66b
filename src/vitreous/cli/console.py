"""Where commands write: names from files cannot command the terminal."""

from __future__ import annotations

from collections.abc import Iterable

import typer
from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from vitreous.files.names import printable

__all__ = ["Console", "complain"]


class Console(RichConsole):
    """Rich's, in which control characters of what is shown are written out; those of its styles are its own."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """What is shown, piece by piece."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else Segment(printable(piece.text), piece.style)


def complain(text: str) -> None:
    """An error in one line."""
    typer.echo(printable(f"Error: {text}"), err=True)
