"""`vitreous autoencoder`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

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

__all__ = ["autoencoder"]


@reads
def autoencoder(
    *,
    pictures: PicturesOrData,
    model: Model = "default",
    checkpoint: Checkpoint = None,
    how: Said,
    layer: ReadLayer = "",
    file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Measure this autoencoder in place of training one: safetensors, or a folder of SAELens.",
            show_default=False,
        ),
    ] = None,
    features: Annotated[
        int | None,
        typer.Option(
            metavar="COUNT",
            min=1,
            max=100_000,
            help="How many features the autoencoder has. [default: 512]",
            show_default=False,
        ),
    ] = None,
    k: Annotated[
        int | None,
        typer.Option(
            "--k",
            metavar="COUNT",
            min=0,
            help="Features of a token, the largest that are kept; of a file, 0 for all above zero. [default: 16, or "
            "what the file says]",
            show_default=False,
        ),
    ] = None,
    centered: Annotated[
        Literal["yes", "no"] | None,
        typer.Option(
            help="Of a file: whether its b_dec is taken off a token before it is encoded. [default: what the file "
            "says]",
            show_default=False,
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            metavar="COUNT",
            min=1,
            max=100_000,
            help="Steps of training, each on 1024 tokens. [default: 2000]",
            show_default=False,
        ),
    ] = None,
    limit: Limit = 256,
    seed: Annotated[int, typer.Option(min=0, help="Of the pictures and the training.")] = 0,
    batch_size: BatchSize = 8,
    output: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Folder for the autoencoder (safetensors), its page (html), a table (csv) and the manifest.",
        ),
    ] = Path("autoencoder"),
    device: Device = "auto",
    dtype: InPrecision = Precision.float32,
    window: Window = None,
) -> None:
    """Train a sparse autoencoder on the patch tokens of a layer, and measure it on pictures held out.

    Or measure one that is given, with --file.

    Says how much of the tokens' variance it makes up, and how far the model's own decision survives where the layer
    gives the tokens that it makes; a page shows the ten strongest features.
    """
    from vitreous.cli.console import Console, complain, say
    from vitreous.cli.loading import loading
    from vitreous.cli.progress import ANEW, counting
    from vitreous.data.depth import asked_window
    from vitreous.files.writing import check_writable
    from vitreous.inside.autoencoder_page import AutoencoderJob, autoencoder_page

    given = {"--features": features, "--steps": steps} if file else {"--centered": centered}
    if wrong := [name for name, value in given.items() if value is not None]:
        raise typer.BadParameter(
            "is of training, and --file names one that is trained. Leave one of them out."
            if file
            else "is of a file. Give it with --file, or leave it out.",
            param_hint=wrong[0],
        )
    check_writable(output)
    console = Console(highlight=False)
    (loaded,) = loading(console, [model], how, checkpoint=checkpoint, device=device, dtype=dtype)
    sizes = (None, k, None) if file else (features or 512, 16 if k is None else k, steps or 2000)
    where = output, asked_window(window), file, None if centered is None else centered == "yes"
    job = AutoencoderJob(loaded, pictures, layer, *sizes, limit, seed, batch_size, *where)
    with counting(console, "steps", again=ANEW) as tell:
        done = autoencoder_page(job, tell)
    for reason in done.unread.values():
        complain(reason)
    say(f"Page: {done.page}")
    for name, value in done.about:
        say(f"{name.capitalize()}: {value}")
    raise typer.Exit(int(bool(done.unread)))
