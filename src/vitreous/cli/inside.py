"""`vitreous inside`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vitreous.cli.completion import complete_models
from vitreous.cli.options import (
    Checkpoint,
    Device,
    InPrecision,
    Pictures,
    Precision,
    Sample,
    Window,
    asked_files,
    patch_of,
)
from vitreous.cli.reads import Said, reads

__all__ = ["Read", "inside"]


class Read(StrEnum):
    """Which features of patches."""

    tokens = "tokens"
    keys = "keys"
    queries = "queries"
    values = "values"


@reads
def inside(
    *,
    pictures: Pictures = None,
    sample: Sample = "",
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            autocompletion=complete_models,
            help="The model, as for 'vitreous explain'. A second one, on the same grid of patches, is compared with it "
            "block by block. [default: default]",
            show_default=False,
        ),
    ] = None,
    checkpoint: Checkpoint = None,
    how: Said,
    of: Annotated[
        Read, typer.Option(help="What is read of each patch: a layer's tokens, or what an attention takes.")
    ] = Read.tokens,
    layer: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Dotted name of the layer, or of the module that runs the attention. Without it: the one that a CAM "
            "would read, or the last attention.",
            show_default=False,
        ),
    ] = "",
    patch: Annotated[
        str,
        typer.Option(
            metavar="ROW,COLUMN",
            help="The patch that the others are compared with, rows and columns counted from 1, as on the sheet. "
            "Without it: the one in the middle.",
            show_default=False,
        ),
    ] = "",
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Tell the background apart by the first component; it stays black.")
    ] = False,
    times: Annotated[
        float,
        typer.Option(
            metavar="FACTOR", help="A patch stands out whose token is over so many times as long as the median."
        ),
    ] = 3.0,
    cases: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="An index that 'vitreous cases' wrote: its most alike pictures, and patches, are shown too.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for the sheets (.png), the numbers (.npz) and manifest.json.")
    ] = Path("inside"),
    device: Device = "auto",
    dtype: InPrecision = Precision.float32,
    window: Window = None,
) -> None:
    """Show what patches look like inside the model, and what it would say after each block.

    One sheet per picture: principal components as colors, which patches are alike, artifacts, how far heads look, how
    alike blocks are, and the logit lens. The model needs no classifier but for the lens.
    """
    from vitreous.cli.console import Console, complain, say
    from vitreous.cli.loading import loading
    from vitreous.cli.progress import stoppable
    from vitreous.data.depth import asked_window
    from vitreous.files.writing import check_writable
    from vitreous.inside.sheets import JOB, InsideJob, inside_sheets

    models = model or ["default"]
    if len(models) > 2 or (len(models) == 2 and checkpoint):
        raise typer.BadParameter(
            "is given for one model, or for two that are compared; --checkpoint goes with one. Name the weights of "
            "each, as timm:NAME@FILE.",
            param_hint="--model",
        )
    files = asked_files(pictures, sample, output, JOB)
    place = patch_of(patch, "--patch")
    check_writable(output)
    console = Console(highlight=False)
    loaded, *others = loading(console, models, how, checkpoint=checkpoint, device=device, dtype=dtype)
    job = InsideJob(loaded, layer, of.value, place, foreground, times, output, asked_window(window), cases, *others)
    failed, done = False, 0
    with stoppable(lambda: (done, len(files))):
        for sheet in inside_sheets(job, files):
            done += 1
            if sheet.error:
                complain(sheet.error)
            if sheet.page:
                say(f"Sheet: {sheet.page}")
            for reason in sheet.lacking:
                say(f"Lacking: {reason}")
            failed |= bool(sheet.error)
    raise typer.Exit(int(failed))
