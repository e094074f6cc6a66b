"""`vitreous cases`."""

from __future__ import annotations

from enum import StrEnum
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
    PicturesOrData,
    Precision,
    ReadLayer,
    Window,
)
from vitreous.cli.reads import Said, reads

__all__ = ["Stands", "cases"]


class Stands(StrEnum):
    """What stands for a whole picture."""

    mean = "mean"
    class_token = "class"


@reads
def cases(
    *,
    pictures: PicturesOrData,
    model: Model = "default",
    checkpoint: Checkpoint = None,
    how: Said,
    layer: ReadLayer = "",
    whole: Annotated[
        Stands, typer.Option(help="What stands for a whole picture: the mean of its patches, or the class token.")
    ] = Stands.mean,
    limit: Limit = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of that draw.")] = 0,
    batch_size: BatchSize = 8,
    output: Annotated[Path, typer.Option(metavar="FILE", help="The index, a Parquet file.")] = Path("cases.parquet"),
    device: Device = "auto",
    dtype: InPrecision = Precision.float32,
    window: Window = None,
) -> None:
    """Index pictures by what the model makes of them and of their patches, for `vitreous inside --cases`.

    The index holds a small copy of every picture: give it only to whom you may give the pictures.
    """
    from vitreous.cli.console import Console, complain, say
    from vitreous.cli.loading import loading
    from vitreous.cli.progress import ANEW, counting
    from vitreous.data.depth import asked_window
    from vitreous.files.writing import check_writable
    from vitreous.inside.case_building import build_cases

    check_writable(output.parent)
    console = Console(highlight=False)
    (loaded,) = loading(console, [model], how, checkpoint=checkpoint, device=device, dtype=dtype)
    with counting(console, "pictures", again=ANEW) as tell:
        built = build_cases(
            *(loaded, pictures, output),
            layer=layer,
            whole=whole.value,
            limit=limit,
            seed=seed,
            batch_size=batch_size,
            progress=tell,
            pixel_window=asked_window(window),
        )
    for reason in built.unread.values():
        complain(reason)
    say(f"{built.pictures} pictures by {built.layer}: {output}")
    raise typer.Exit(int(bool(built.unread)))
