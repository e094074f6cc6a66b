"""`vitreous concepts`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitreous.cli.options import (
    BatchSize,
    Checkpoint,
    Device,
    InPrecision,
    Limit,
    Model,
    NamesFile,
    PicturesOrData,
    Precision,
    ReadLayer,
    Window,
)
from vitreous.cli.reads import Said, reads

__all__ = ["concepts"]


@reads
def concepts(
    *,
    pictures: PicturesOrData,
    class_name: Annotated[
        str,
        typer.Option(
            "--class",
            metavar="NAME|INDEX",
            help="Whose pictures are taken of a data set, and whose score is asked for. Without it: all pictures, and "
            "of each the class that the model predicts.",
            show_default=False,
        ),
    ] = "",
    model: Model = "default",
    checkpoint: Checkpoint = None,
    class_names: NamesFile = None,
    how: Said,
    layer: ReadLayer = "",
    count: Annotated[int, typer.Option(metavar="COUNT", min=1, help="How many concepts are looked for.")] = 8,
    draws: Annotated[
        int,
        typer.Option(
            metavar="COUNT", min=1, help="Random directions that each is held against; no verdict of fewer than 19."
        ),
    ] = 20,
    limit: Limit = 32,
    seed: Annotated[int, typer.Option(min=0, help="Of the pictures and the random directions.")] = 0,
    batch_size: BatchSize = 8,
    output: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="Folder for concepts.html, concepts.csv, concepts.npz and manifest.json."),
    ] = Path("concepts"),
    device: Device = "auto",
    dtype: InPrecision = Precision.float32,
    window: Window = None,
) -> None:
    """Find what a class's pictures have in common inside the model, and whether its score rests on it.

    A page with every concept's maps, the pictures and patches that show it most, and how far the class score moves
    without it, against random directions of the same length.
    """
    from vitreous.cli.console import Console, complain, say
    from vitreous.cli.loading import loading
    from vitreous.cli.progress import ANEW, counting
    from vitreous.data.depth import asked_window
    from vitreous.explaining.asked import read_class_names
    from vitreous.files.writing import check_writable
    from vitreous.inside.concept_page import ConceptsJob, concept_page
    from vitreous.render.numbers import concept_name

    names = read_class_names(class_names or ())
    check_writable(output)
    console = Console(highlight=False)
    (loaded,) = loading(console, [model], how, checkpoint=checkpoint, device=device, dtype=dtype)
    job = ConceptsJob(
        loaded,
        pictures,
        class_name,
        layer,
        count,
        draws,
        limit,
        seed,
        batch_size,
        output,
        asked_window(window),
        names,
    )
    with counting(console, "runs of the pictures", again=ANEW) as tell:
        done = concept_page(job, tell)
    for reason in done.unread.values():
        complain(reason)
    say(f"Page: {done.page}")
    for row in done.rows:
        if row.verdict:
            say(f"{concept_name(row.concept)}: {row.verdict}")
    if done.lacking:
        say(f"{done.lacking[:1].upper()}{done.lacking[1:]}")
    raise typer.Exit(int(bool(done.unread)))
