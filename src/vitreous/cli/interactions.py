"""`vitreous interactions`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vitreous.cli.options import Checkpoint, Device, InPrecision, Model, Pictures, Precision, find_files

__all__ = ["Shown", "interactions"]


class Shown(StrEnum):
    """What is shown of an interaction."""

    strength = "strength"
    certainty = "certainty"
    uncertainty = "uncertainty"


def interactions(
    *,
    pictures: Pictures = None,
    model: Model = "default",
    checkpoint: Checkpoint = None,
    indicator: Annotated[
        Shown,
        typer.Option(
            help="How much a patch takes from another (strength), how much the heads disagree on it (uncertainty), or "
            "the first over the second (certainty)."
        ),
    ] = Shown.strength,
    block: Annotated[
        int | None,
        typer.Option(
            metavar="INDEX", min=0, help="One block, from 0. Without it: the mean of all.", show_default=False
        ),
    ] = None,
    query: Annotated[
        str,
        typer.Option(
            metavar="ROW,COLUMN",
            help="The patch that is looked from, from 0,0. Without it: the most discriminative one.",
            show_default=False,
        ),
    ] = "",
    mass: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of the indicator that a patch's responsive field holds.")
    ] = 0.5,
    share: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of the patches, the least discriminative, to show as removed.")
    ] = 0.5,
    output: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for the pages (.png), the numbers (.npz) and manifest.json.")
    ] = Path("interactions"),
    device: Device = "auto",
    dtype: InPrecision = Precision.float32,
) -> None:
    """Show how the patches of a picture act on each other: one page per picture.

    A reconstruction after the abstract of arXiv 2203.05922; its formulas are our own.
    """
    import torch
    from rich.console import Console

    from vitreous.files import check_writable
    from vitreous.jobs.interaction_pages import Order, interaction_pages
    from vitreous.models.device import find_device
    from vitreous.models.zoo import load

    files, place = find_files(pictures), _parse(query)
    check_writable(output)
    with Console(highlight=False).status("Loading the model …"):
        where, precision = find_device(device), getattr(torch, dtype.value)
        loaded = load(model, checkpoint=checkpoint, device=where, dtype=precision)
    failed = False
    for page in interaction_pages(Order(loaded, indicator.value, block, place, mass, share, output), files):
        typer.echo(f"Error: {page.error}" if page.error else f"Page: {page.page}", err=bool(page.error))
        failed |= bool(page.error)
    raise typer.Exit(int(failed))


def _parse(query: str) -> tuple[int, int] | None:
    """ROW,COLUMN as two numbers."""
    if not query:
        return None
    row, comma, column = query.partition(",")
    if not (comma and row.strip().isdecimal() and column.strip().isdecimal()):
        raise typer.BadParameter(f"'{query}' is not two whole numbers. Write ROW,COLUMN.", param_hint="--query")
    return int(row), int(column)
