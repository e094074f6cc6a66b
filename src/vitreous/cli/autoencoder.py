"""`vitreous autoencoder`."""

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
    features: Annotated[
        int, typer.Option(metavar="COUNT", min=1, max=100_000, help="How many features the autoencoder has.")
    ] = 512,
    k: Annotated[
        int, typer.Option("--k", metavar="COUNT", min=1, help="Features of a token, the largest that are kept.")
    ] = 16,
    steps: Annotated[
        int, typer.Option(metavar="COUNT", min=1, max=100_000, help="Steps of training, each on 1024 tokens.")
    ] = 2000,
    limit: Limit = 256,
    seed: Annotated[int, typer.Option(min=0, help="Of the pictures and the training.")] = 0,
    batch_size: BatchSize = 8,
    output: Annotated[
        Path,
        typer.Option(
            metavar="FOLDER",
            help="Folder for autoencoder.safetensors, autoencoder.html, autoencoder.csv and manifest.json.",
        ),
    ] = Path("autoencoder"),
    device: Device = "auto",
    dtype: InPrecision = Precision.float32,
    window: Window = None,
) -> None:
    """Train a sparse autoencoder on the patch tokens of a layer, and measure it on pictures held out.

    Says how much of the tokens' variance it makes up, and how far the model's own decision survives where the layer
    gives the tokens that it makes; a page shows the ten strongest features.
    """
    from vitreous.cli.console import Console, complain, say
    from vitreous.cli.loading import loading
    from vitreous.cli.progress import ANEW, counting
    from vitreous.data.depth import asked_window
    from vitreous.files.writing import check_writable
    from vitreous.inside.autoencoder_page import AutoencoderJob, autoencoder_page

    check_writable(output)
    console = Console(highlight=False)
    (loaded,) = loading(console, [model], how, checkpoint=checkpoint, device=device, dtype=dtype)
    sizes = features, k, steps, limit, seed, batch_size
    job = AutoencoderJob(loaded, pictures, layer, *sizes, output, asked_window(window))
    with counting(console, "steps", again=ANEW) as tell:
        done = autoencoder_page(job, tell)
    for reason in done.unread.values():
        complain(reason)
    say(f"Page: {done.page}")
    for name, value in done.about:
        say(f"{name.capitalize()}: {value}")
    raise typer.Exit(int(bool(done.unread)))
