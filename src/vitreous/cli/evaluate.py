"""`vitreous evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitreous.cli.options import Checkpoint, Device, Model, ModelOutput, output_of

__all__ = ["evaluate"]


def evaluate(
    data: Annotated[str, typer.Argument(help="Labelled pictures as 'vitreous train --data' reads them.")],
    *,
    model: Model = "default",
    checkpoint: Checkpoint = None,
    model_output: ModelOutput = "",
    split: Annotated[str, typer.Option(help="Which part of the data: test, val or train.")] = "test",
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the scores and the confusions are written, as JSON.")
    ] = Path("evaluation.json"),
    device: Device = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare pictures; 0 prepares them in turn.")] = 0,
) -> None:
    """Count how often a classifier is right, with 95 % intervals; of two classes also AUC, precision and recall.

    Of two classes, the second one counts as positive.
    """
    from rich.console import Console
    from rich.table import Table

    from vitreous.cli.progress import counted
    from vitreous.evaluation.evaluate import evaluate as run
    from vitreous.models.device import find_device
    from vitreous.models.zoo import load

    console = Console(highlight=False)
    loaded = load(model, checkpoint=checkpoint, device=find_device(device), output=output_of(model_output))
    with counted(console, "pictures") as tell:
        scores = run(loaded, data, split, output, workers=workers, progress=tell)
    table = Table(box=None)
    for column in ("score", "value", "95 % interval"):
        table.add_column(column)
    for name, score in scores.items():
        table.add_row(name, f"{score.value:.4f}", f"{score.low:.4f} to {score.high:.4f}")
    console.print(table)
    console.print(f"Written to {output}", soft_wrap=True, markup=False)
