"""`vitreous serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitreous.cli.completion import complete_models
from vitreous.cli.options import CasesIndex, Device, FoundConcepts, InPrecision, Precision

__all__ = ["serve"]


def serve(
    *,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            autocompletion=complete_models,
            help="A model that visitors may choose, as for 'vitreous explain'; repeat it for several.",
            show_default="default",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Your weights, where one timm:, torchvision: or open_clip: model is named."),
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Where to listen. By default only this machine reaches the page; there is no password, so whoever "
            "reaches another address may use it.",
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 takes one that is free.")] = 8337,
    opened: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    concepts: FoundConcepts = None,
    cases: CasesIndex = None,
    device: Device = "auto",
    dtype: InPrecision = Precision.float32,
) -> None:
    """Serve a page to drop pictures on: maps, other classes and methods, hidden patches, while you watch.

    Nothing leaves this machine, and nothing is written. Stop it with Ctrl-C.
    """
    import os
    import webbrowser
    from threading import Thread

    from vitreous.cli.console import Console
    from vitreous.serving.server import listening
    from vitreous.serving.server import serve as run

    os.environ.setdefault("PILLOW_BLOCK_SIZE", "64m")  # so the system gets back what a large picture took
    names = model or ["default"]
    if checkpoint and len(names) > 1:
        raise typer.BadParameter("belongs to one model. Name one, or save each as a folder.", param_hint="--checkpoint")
    console = Console(highlight=False)

    def started(address: str) -> None:
        console.print(f"Open {address} in a browser; Ctrl-C stops.")
        if opened:
            # one that runs in the terminal keeps whoever opens it, and asks the server for the page
            Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    with listening(host, port) as listener:
        with console.status("Loading …"):
            import torch

            from vitreous.inside.given import Given
            from vitreous.models.device import find_device
            from vitreous.models.zoo import load

            where, precision = find_device(device), getattr(torch, dtype.value)
            models = [load(name, checkpoint=checkpoint, device=where, dtype=precision) for name in names]
            for each in models:
                each.prepared()
            given = Given(concepts, cases)
            if len(models) == 1:  # of several, each page says which model has them
                given.check(models[0])
        run(models, listener, started=started, given=given)
