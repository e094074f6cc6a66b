"""`vitreous`: the commands, and how errors reach the user."""

from __future__ import annotations

import io
import sys
from contextlib import ExitStack
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from vitreous import __version__
from vitreous.cli.autoencoder import autoencoder
from vitreous.cli.batch import EXAMPLES as BATCHES
from vitreous.cli.batch import batch
from vitreous.cli.benchmark import EXAMPLES as BENCHMARKS
from vitreous.cli.benchmark import benchmark
from vitreous.cli.cases import cases
from vitreous.cli.concepts import concepts
from vitreous.cli.console import complain, plain_warnings, quiet, talkative
from vitreous.cli.detect import detect
from vitreous.cli.evaluate import evaluate
from vitreous.cli.explain import EXAMPLES, explain
from vitreous.cli.inside import inside
from vitreous.cli.interactions import interactions
from vitreous.cli.listing import methods, metrics, models
from vitreous.cli.progress import stop
from vitreous.cli.reproduce import reproduce
from vitreous.cli.serve import serve
from vitreous.cli.train import train
from vitreous.cli.verify import app as verify
from vitreous.errors import ExplainError, UnknownName

__all__ = ["app", "run"]

_USAGE = 2
_ANYWHERE = {"--debug", "--quiet", "-q", "--verbose", "-v"}


class _Commands(TyperGroup):
    """Errors of ours and of the disk are one line; the rest are bugs and keep their traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take what is common to all commands wherever it stands."""
        own = args[: args.index("--")] if "--" in args else args
        common = [each for each in own if each in _ANYWHERE]
        return super().parse_args(ctx, [*common, *(each for each in own if each not in _ANYWHERE), *args[len(own) :]])

    def invoke(self, ctx: Any) -> Any:
        try:
            with ExitStack() as told:
                told.enter_context(plain_warnings())
                for wanted, how in ((ctx.params["quiet"], quiet), (ctx.params["verbose"], talkative)):
                    if wanted:
                        told.enter_context(how())
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
        except _out_of_memory():
            if ctx.params["debug"]:
                raise
            complain("there is not enough memory. Free some, or take smaller batches or pictures.")
            raise typer.Exit(1) from None


def _out_of_memory() -> tuple[type[BaseException], ...]:
    """The error of a job that ran; none where torch was not needed."""
    torch = sys.modules.get("torch")
    return (torch.OutOfMemoryError,) if torch else ()


def _said(error: ExplainError) -> str:
    """Its sentences; those from a worker process come at the end of that one's traceback."""
    text = str(error)
    return text.rpartition(f".{type(error).__name__}: ")[2].strip() if text.startswith("Caught ") else text


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command("explain", epilog=EXAMPLES)(explain)
app.command("batch", epilog=BATCHES)(batch)
app.command("interactions")(interactions)
app.command("inside")(inside)
app.command("concepts")(concepts)
app.command("autoencoder")(autoencoder)
app.command("cases")(cases)
app.add_typer(verify, name="verify")
app.command("benchmark", epilog=BENCHMARKS)(benchmark)
app.command("reproduce")(reproduce)
app.command("serve")(serve)
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
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors and warnings.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also say what the libraries log, and how long it took.")
    ] = False,
) -> None:
    """See through Vision Transformers: what in a picture made the model decide as it did?

    `--debug`, `--quiet` and `--verbose` may also stand after the command.
    """


def run() -> None:
    """The `vitreous` command."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a class or file name that the terminal cannot write is no error
    app()
