"""`vitreous verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitreous.cli.options import (
    BatchSize,
    CheckContents,
    Device,
    InPrecision,
    Limit,
    Model,
    Precision,
    Window,
    block_of,
)
from vitreous.cli.reads import Said, reads

if TYPE_CHECKING:
    from vitreous.interacting.verification.check import Check
    from vitreous.interacting.verification.job import Trial

__all__ = ["app", "indicators", "main", "removal", "windows"]

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")

Dataset = Annotated[
    str,
    typer.Argument(
        metavar="DATASET",
        help="Labelled pictures, KIND:PATH or KIND:PATH:SPLIT, as for 'vitreous benchmark'.",
        show_default=False,
    ),
]
Labels = Annotated[
    str, typer.Option(help="How the data's labels are the model's: by 'name', by 'position', or 'auto'.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of the draw, of the random controls and of the bootstrap.")]
Output = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER",
        help="Folder for the table (summary.md, .csv …), plot.svg, results/ and manifest.json. Run again to go on.",
    ),
]


@app.callback()
def main() -> None:
    """Find out on labelled pictures whether the indicator of patch interactions holds on a model.

    A reconstruction after the abstract of arXiv 2203.05922; its formulas are our own. Every table has intervals from a
    paired bootstrap over pictures. Interrupt it whenever you like: run again, it goes on where it stopped.
    """


@app.command()
@reads
def windows(
    dataset: Dataset,
    *,
    model: Model = "default",
    how: Said,
    indicator: Annotated[
        str, typer.Option(help="What windows and fields are made of: strength, certainty or uncertainty.")
    ] = "strength",
    calibration: Annotated[
        str,
        typer.Option(metavar="DATASET", help="Pictures for static windows, labels unread. [default: DATASET]"),
    ] = "",
    calibrated: Annotated[
        int, typer.Option(metavar="COUNT", min=1, help="How many of these pictures are averaged.")
    ] = 200,
    labels: Labels = "auto",
    limit: Limit = 0,
    seed: Seed = 0,
    batch_size: BatchSize = 16,
    output: Output = Path("verify-windows"),
    device: Device = "auto",
    dtype: InPrecision = Precision.float32,
    window: Window = None,
    contents: CheckContents = False,
) -> None:
    """Accuracy when attention is limited to windows: fixed, adaptive, bounding boxes, responsive fields, random.

    Some 55 forward passes per picture. The model is frozen; the table gives accuracy against density, from the area
    under the whole curve down to each size beside as many random keys, and the least radius that holds 80 % of each
    block's attention.
    """
    from vitreous.interacting.verification.job import Trial
    from vitreous.interacting.verification.windowed import Windows

    trial = Trial(dataset, model, labels, calibration, calibrated, limit, seed, batch_size)
    _run(Windows(indicator), _read(trial, how, window), output, device, dtype, contents=contents)


@app.command()
@reads
def removal(
    dataset: Dataset,
    *,
    model: Model = "default",
    how: Said,
    place: Annotated[
        str,
        typer.Option(
            metavar="PLACE,…",
            help="Where patches are removed: 'input' (scored by a pass of its own), 'mask' (likewise, hidden and not "
            "dropped), or a number of blocks after which they are dropped in one pass.",
        ),
    ] = "input,2",
    shares: Annotated[
        str, typer.Option(metavar="SHARE,…", help="Shares of the patches.")
    ] = "0.1,0.2,0.3,0.4,0.5,0.6,0.7",
    labels: Labels = "auto",
    limit: Limit = 0,
    seed: Seed = 0,
    batch_size: BatchSize = 16,
    output: Output = Path("verify-removal"),
    device: Device = "auto",
    dtype: InPrecision = Precision.float32,
    window: Window = None,
    contents: CheckContents = False,
) -> None:
    """Accuracy and speed when patches are removed: the least discriminative, the most, and by four more scores.

    Six forward passes per picture, share and place. The speed is that of 'vitreous.prune' against the bare model in the
    same batches.
    """
    from vitreous.interacting.verification.job import Trial
    from vitreous.interacting.verification.pruned import Removal

    check = Removal(_numbers(shares, "--shares"), tuple(part.strip() for part in place.split(",")))
    trial = Trial(dataset, model, labels, limit=limit, seed=seed, batch_size=batch_size)
    _run(check, _read(trial, how, window), output, device, dtype, contents=contents)


@app.command()
@reads
def indicators(
    dataset: Dataset,
    *,
    model: Model = "default",
    how: Said,
    block: Annotated[
        list[int] | None,
        typer.Option(
            metavar="NUMBER", help="A block, counted from 1, as in the table; repeat it. [default: all but the last]"
        ),
    ] = None,
    pairs: Annotated[int, typer.Option(metavar="COUNT", min=3, help="Interactions cut per picture and block.")] = 64,
    labels: Labels = "auto",
    limit: Limit = 20,
    seed: Seed = 0,
    output: Output = Path("verify-indicators"),
    device: Device = "auto",
    dtype: InPrecision = Precision.float64,
    window: Window = None,
    contents: CheckContents = False,
) -> None:
    """Which indicator to trust: the rank correlation of each with what cutting single interactions does.

    A forward pass per picture, block and pair, in float64: single cuts change probabilities by about as much as float32
    rounds.
    """
    from vitreous.interacting.verification.indicators import Indicators
    from vitreous.interacting.verification.job import Trial

    blocks = tuple(block_of(each, "--block") for each in block or ())
    trial = Trial(dataset, model, labels, limit=limit, seed=seed, batch_size=1)
    _run(Indicators(blocks, pairs), _read(trial, how, window), output, device, dtype, contents=contents)


def _numbers(text: str, option: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not numbers with commas between.", param_hint=option) from None


def _read(trial: Trial, how: Said, window: str | None) -> Trial:
    from dataclasses import replace

    from vitreous.data.depth import asked_window

    return replace(trial, reading=trial.reading.but(**how), window=asked_window(window))


def _run(check: Check, trial: Trial, output: Path, device: str, dtype: Precision, *, contents: bool) -> None:
    import torch

    from vitreous.cli.console import Console
    from vitreous.cli.progress import counting
    from vitreous.cli.tables import show_table
    from vitreous.interacting.verification.job import verify
    from vitreous.models.device import find_device

    console = Console(highlight=False)
    with counting(console, "pictures") as tell:
        where, precision = find_device(device), getattr(torch, dtype.value)
        done = verify(check, trial, output, device=where, dtype=precision, check_contents=contents, tell=tell)
    show_table(console, done.table, done.files)
