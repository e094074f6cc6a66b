"""`vitreous reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["reproduce"]

_DIFFERS = 3


def reproduce(
    manifest: Annotated[
        Path,
        typer.Argument(
            metavar="MANIFEST",
            help="manifest.json beside the results of a run, or its folder; or what 'vitreous evaluate', 'vitreous "
            "cases' or 'vitreous detect' wrote: a .parquet or .json.",
        ),
    ],
    *,
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="A new folder, for what is made again.")] = Path(
        "reproduced"
    ),
    use: Annotated[
        list[str] | None,
        typer.Option(
            metavar="package.module:Name",
            help="A class of your own that the manifest names; its code runs only when you repeat the name here.",
            show_default=False,
        ),
    ] = None,
    dataset: Annotated[
        str,
        typer.Option(
            metavar="KIND:PATH",
            help="Where the data set is now; an address is opened only when you say it here. [default: where it was]",
            show_default=False,
        ),
    ] = "",
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="Where to compute. [default: where it was]", show_default=False)
    ] = "",
) -> None:
    """Run again what a manifest tells of: does the same come out?

    Of explain and its exports, batch, interactions, inside, concepts, autoencoder, cases, evaluate, a benchmark, a
    check, detect explain or detect evaluate. Of a training, it says the command that makes it again.

    Nothing of the old run is written. Exits with 0 where all is the same to the bit, 3 where something differs, and 1
    where the run cannot be made again: a picture, the weights or the data set are gone, or others.
    """
    from vitreous.cli.console import complain, say
    from vitreous.cli.progress import ANEW, stoppable
    from vitreous.reproducing.reproduce import reproduce as run

    with stoppable(again=ANEW):
        done = run(manifest, output, own=use or [], dataset=dataset, device=device)
    for part in done.parts:
        say(str(part))
    for change in done.changed:
        complain(f"another version: {change}")
    say(f"{'Reproduced' if not done.apart else 'Not reproduced'}: {done.same} are the same to the bit.")
    raise typer.Exit(_DIFFERS if done.apart else 0)
