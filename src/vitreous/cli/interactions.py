"""`vitreous interactions`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vitreous.cli.options import (
    Checkpoint,
    Device,
    InPrecision,
    Model,
    NamesFile,
    Precision,
    Sample,
    Window,
    asked_files,
    block_of,
    patch_of,
)
from vitreous.cli.reads import Said, reads

__all__ = ["Shown", "interactions"]


class Shown(StrEnum):
    """What is shown of an interaction."""

    strength = "strength"
    certainty = "certainty"
    uncertainty = "uncertainty"
    impact = "impact"


@reads
def interactions(
    *,
    pictures: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PICTURE",
            help="Picture files, folders (searched to the bottom) or patterns; or one data set, KIND:PATH or "
            "KIND:PATH:SPLIT as for 'vitreous benchmark', to average over. Without any: the sample picture.",
            show_default=False,
        ),
    ] = None,
    sample: Sample = "",
    model: Model = "default",
    checkpoint: Checkpoint = None,
    class_names: NamesFile = None,
    how: Said,
    indicator: Annotated[
        Shown,
        typer.Option(
            help="How much a patch takes from another (strength), how much the heads disagree on it (uncertainty), "
            "the first over the second (certainty), or what the class score would lose without it (impact)."
        ),
    ] = Shown.strength,
    block: Annotated[
        int | None,
        typer.Option(
            metavar="NUMBER",
            help="One block, counted from 1, as on the page. Without it: the mean of all.",
            show_default=False,
        ),
    ] = None,
    query: Annotated[
        str,
        typer.Option(
            metavar="ROW,COLUMN",
            help="The patch that is looked from, rows and columns counted from 1, as on the page. Without it: the one "
            "that matters most to the class; of a data set, or without a class, the one that others use most unevenly.",
            show_default=False,
        ),
    ] = "",
    mass: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of the indicator that a patch's responsive field holds.")
    ] = 0.5,
    share: Annotated[
        float, typer.Option(metavar="SHARE", help="Share of the patches, the least discriminative, to show as removed.")
    ] = 0.5,
    limit: Annotated[
        int, typer.Option(metavar="COUNT", min=0, help="Pictures of a data set, drawn at random; 0 takes all.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of that draw.")] = 0,
    batch_size: Annotated[
        int, typer.Option(metavar="COUNT", min=1, help="Pictures of a data set at once; bounds memory.")
    ] = 16,
    output: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER", help="Folder for the pages (.png, .html), the numbers (.npz) and manifest.json."
        ),
    ] = Path("interactions"),
    device: Device = "auto",
    dtype: InPrecision = Precision.float32,
    window: Window = None,
) -> None:
    """Show how the patches of a picture act on each other: one page per picture, or one of a data set's average.

    A reconstruction after the abstract of arXiv 2203.05922; its formulas are our own.
    """
    from vitreous.cli.console import Console, complain, say
    from vitreous.cli.loading import loading
    from vitreous.cli.progress import counting, stoppable
    from vitreous.data.depth import asked_window
    from vitreous.data.readers import DATASETS
    from vitreous.explaining.asked import read_class_names
    from vitreous.files.writing import check_writable
    from vitreous.interacting.numbers import InteractionsJob
    from vitreous.interacting.pages import JOB, average_page, interaction_pages

    dataset = next((name for name in pictures or () if name.partition(":")[0] in DATASETS), "")
    if dataset and (len(pictures or ()) > 1 or sample):
        raise typer.BadParameter(f"'{dataset}' is a data set. Give it alone, or pictures.", param_hint="PICTURE")
    files = [] if dataset else asked_files(pictures, sample, output, JOB)
    which = None if block is None else block_of(block, "--block")
    place, names = patch_of(query, "--query"), read_class_names(class_names or ())
    check_writable(output)
    console = Console(highlight=False)
    (loaded,) = loading(console, [model], how, checkpoint=checkpoint, device=device, dtype=dtype)
    job = InteractionsJob(loaded, indicator.value, which, place, mass, share, output, asked_window(window), names)
    if dataset:
        with counting(console, "pictures", again="an average is begun anew when it is run again") as tell:
            pages = [average_page(job, dataset, limit=limit, seed=seed, batch_size=batch_size, tell=tell)]
    else:
        pages = interaction_pages(job, files)
    failed, done = False, 0
    with stoppable(lambda: (done, len(files))):
        for page in pages:
            done += 1
            if page.error:
                complain(page.error)
            if page.page:
                say(f"Page: {page.page}")
            failed |= bool(page.error)
    raise typer.Exit(int(failed))
