"""`vitreous`: the commands, and how errors reach the user."""

from __future__ import annotations

import io
import sys
from typing import Annotated, Any

import typer
from torch import OutOfMemoryError
from typer.core import TyperGroup

from vitreous import __version__
from vitreous.cli.benchmark import EXAMPLES as BENCHMARKS
from vitreous.cli.benchmark import benchmark
from vitreous.cli.console import complain, plain_warnings
from vitreous.cli.detect import detect
from vitreous.cli.evaluate import evaluate
from vitreous.cli.explain import EXAMPLES, explain
from vitreous.cli.interactions import interactions
from vitreous.cli.listing import methods, metrics, models
from vitreous.cli.progress import stop
from vitreous.cli.reproduce import reproduce
from vitreous.cli.train import train
from vitreous.cli.verify import app as verify
from vitreous.errors import ExplainError, UnknownName

__all__ = ["app", "run"]

_USAGE = 2


class _Commands(TyperGroup):
    """Errors of ours and of the disk are one line; the rest are bugs and keep their traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with plain_warnings():
                return super().invoke(ctx)
        except ExplainError as error:
            if ctx.params["debug"]:
                raise
            complain(_said(error))
            raise typer.Exit(_USAGE if isinstance(error, UnknownName) else 1) from None
        except OSError as error:
            if ctx.params["debug"] or error.filename is None:
                raise
            complain(f"`{error.filename}`: {error.strerror}. Check the path and its permissions.")
            raise typer.Exit(1) from None
        except KeyboardInterrupt:  # where nothing is half done: loading, reading, writing a page
            stop("Stopped.")
        except OutOfMemoryError:
            if ctx.params["debug"]:
                raise
            complain("there is not enough memory. Free some, or take smaller batches or pictures.")
            raise typer.Exit(1) from None


def _said(error: ExplainError) -> str:
    """Its sentences; those from a worker process come at the end of that one's traceback."""
    text = str(error)
    return text.rpartition(f".{type(error).__name__}: ")[2].strip() if text.startswith("Caught ") else text


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("explain", epilog=EXAMPLES)(explain)
app.command("interactions")(interactions)
app.add_typer(verify, name="verify")
app.command("benchmark", epilog=BENCHMARKS)(benchmark)
app.command("reproduce")(reproduce)
app.command("methods")(methods)
app.command("metrics")(metrics)
app.command("models")(models)
app.command("train")(train)
app.command("evaluate")(evaluate)
app.add_typer(detect, name="detect")


def _show_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"vitreous {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """See through Vision Transformers: what in a picture made the model decide as it did?"""


def run() -> None:
    """The `vitreous` command."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a class or file name that the terminal cannot write is no error
    app()
