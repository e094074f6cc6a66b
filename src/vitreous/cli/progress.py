"""What commands say while they work."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

    from vitreous.cli.console import Console

__all__ = [
    "ANEW",
    "GO_ON",
    "Pace",
    "bars",
    "counting",
    "list_recipes",
    "list_settings",
    "stop",
    "stoppable",
    "training_shown",
]

GO_ON = "run it again to go on"
ANEW = "it is begun anew when it is run again"
_RESUMED = "the same command with --resume goes on after the last whole epoch"
_BEGUN = "no epoch is whole yet, and the same command begins anew"
_INTERRUPTED = 130


def list_recipes(folder: Path | None = None) -> None:
    """Print the names and first lines of the recipes in a folder, by default those of classifiers."""
    from vitreous.training.recipe import RECIPES, shipped_recipes

    recipes = shipped_recipes(folder or RECIPES)
    for name, path in recipes.items():
        about = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        typer.echo(f"{name:<{max(map(len, recipes))}}  {about}")
    raise typer.Exit


def list_settings() -> None:
    """Print every setting of a recipe, with its default and what it does."""
    from vitreous.training.listing import settings
    from vitreous.training.recipe import Recipe

    for each in settings(Recipe):
        typer.echo(f"{each!s:<24} {each.default or '–':<24} {each.about}")
    raise typer.Exit


def bars(console: Console) -> Progress:
    """Bars with how many of how many, gone when the block ends; nothing where the output is not a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def counting(
    console: Console, what: str, *, again: str = GO_ON, every: float | None = None
) -> Generator[Callable[[int, int], None]]:
    """A progress bar inside the block: call it with how many are done, of how many.

    Args:
        console: where it is shown.
        what: is counted.
        again: what to do after an interrupt, which ends the command with a sentence.
        every: where the output is no terminal, print a line with the rate and the time left, so many seconds apart.
    """
    seen, pace, said = [0, 0], Pace(), monotonic()

    def tell(done: int, of: int) -> None:
        nonlocal said
        seen[:] = done, of
        told = pace.tell(done, of, monotonic())
        progress.update(bar, completed=done, total=of, description=what if every is None else f"{what}{told}")
        if every is not None and not console.is_terminal and monotonic() - said >= every:
            console.print(f"{done:,} of {of:,} {what}{told}", soft_wrap=True, markup=False)
            said = monotonic()

    with stoppable(lambda: (seen[0], seen[1]), again), bars(console) as progress:
        bar = progress.add_task(what, total=None)
        yield tell


class Pace:
    """How fast something goes, from how much was done when; what was done before the first word does not count."""

    def __init__(self) -> None:
        self._begun: tuple[int, float] | None = None

    def tell(self, done: int, of: int, now: float) -> str:
        """The rate and the time left, in words; nothing where nothing is done yet.

        >>> pace = Pace()
        >>> pace.tell(100, 500, 0.0), pace.tell(150, 500, 20.0)
        ('', ', 2.5 a second, 2 min left')
        """
        before, start = self._begun = self._begun or (done, now)
        if done <= before or now <= start:
            return ""
        rate = (done - before) / (now - start)
        return f", {rate:,.3g} a second, {_span((of - done) / rate)} left"


def _span(seconds: float) -> str:
    """A time, to two digits or so."""
    minutes, hours = seconds / 60, seconds / 3600
    if hours >= 48:
        return f"{hours / 24:,.0f} days"
    if minutes >= 120:
        return f"{hours:.0f} h"
    return f"{minutes:.0f} min" if seconds >= 100 else f"{seconds:.0f} s"


@contextmanager
def stoppable(how_far: Callable[[], tuple[int, int]] = lambda: (0, 0), again: str = GO_ON) -> Generator[None]:
    """An interrupt inside the block ends the command with a sentence: how many are done, of how many, and what next."""
    try:
        yield
    except KeyboardInterrupt:
        done, of = how_far()
        stop(f"Stopped after {done:,} of {of:,}; {again}." if of else f"Stopped; {again}.")


def stop(told: str) -> NoReturn:
    """End a command that was interrupted, with a sentence if there is one to say."""
    if told:
        typer.echo(told, err=True)
    raise typer.Exit(_INTERRUPTED) from None


@contextmanager
def training_shown(output: Path, epochs: int, *, every: float = 60.0) -> Generator[Callable[[Any], None]]:
    """A progress bar inside the block, and a line per epoch: call it with each event of a run.

    Where the output is no terminal, a line every so many seconds stands for the bar.
    """
    from dataclasses import asdict

    from vitreous.cli.console import Console
    from vitreous.training.checkpoint import has_checkpoint
    from vitreous.training.log import Judged, Note, StepDone
    from vitreous.training.processes import is_first

    console = Console(quiet=None if is_first() else True)
    with bars(console) as progress:
        bar, said = progress.add_task("starting", total=None), monotonic()

        def step(text: str, done: int, of: int) -> None:
            nonlocal said
            progress.update(bar, description=text, completed=done, total=of)
            if not console.is_terminal and monotonic() - said >= every:
                console.print(f"{text}, {done} of {of}")
                said = monotonic()

        def show(event: Any) -> None:
            if isinstance(event, StepDone):
                step(f"epoch {event.epoch} of {epochs}, loss {event.loss:.3f}", event.step, event.steps)
            elif isinstance(event, Judged):
                step("validating", event.done, event.pictures)
            elif isinstance(event, Note):
                console.print(event.text, soft_wrap=True, markup=False)
            else:
                scores = "  ".join(
                    f"{title} {value:.1%}" for title, name in _SCORES if (value := asdict(event).get(name)) is not None
                )
                star = " (best so far)" if event.best else ""
                console.print(
                    f"epoch {event.epoch:>3}/{epochs}  loss {event.loss:.3f}  lr {event.lr:.2e}  "
                    f"{scores}{star}  {event.seconds:.0f} s"
                )

        try:
            yield show
        except KeyboardInterrupt:
            stop(f"Stopped; {_RESUMED if has_checkpoint(output) else _BEGUN}." if is_first() else "")
    console.print(f"The best weights, the log and the checkpoint are in {output}.", soft_wrap=True, markup=False)


_SCORES = (("top-1", "top1"), ("box AP", "box_ap"), ("mask AP", "mask_ap"))
"""What an epoch is judged by: as it is called, and its field."""
