"""`vitreous evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitreous.cli.options import Checkpoint, Device, Link, Model, ModelOutput, NamesFile, Window, output_of

__all__ = ["evaluate"]


def evaluate(
    data: Annotated[str, typer.Argument(help="Labelled pictures as 'vitreous train --data' reads them.")],
    *,
    model: Model = "default",
    checkpoint: Checkpoint = None,
    class_names: NamesFile = None,
    model_output: ModelOutput = "",
    link: Link = None,
    split: Annotated[str, typer.Option(help="Which part of the data: test, val or train.")] = "test",
    output: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the scores and the confusions are written, as JSON.")
    ] = Path("evaluation.json"),
    calibrated: Annotated[
        bool,
        typer.Option(
            "--calibrate",
            help="Afterwards, let probabilities mean what they say: divide the class scores, in the model's folder, by "
            "the temperature that fits these pictures best.",
        ),
    ] = False,
    device: Device = "auto",
    window: Window = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare pictures; 0 prepares them in turn.")] = 0,
) -> None:
    """Count how often a classifier is right, with 95 % intervals; of two classes also AUC, precision and recall.

    Folders may be named by class or, of ImageNet's classes, by WordNet id, and some of them are enough. Of two classes,
    the second one counts as positive. Then the calibration error, which is how far probabilities are
    from how often they are right; each class's recall, and what its pictures were taken for.
    """
    from rich.table import Table

    from vitreous.cli.confusions import confusion_lines
    from vitreous.cli.console import Console, say
    from vitreous.cli.progress import ANEW, counting, stoppable
    from vitreous.data.depth import asked_window
    from vitreous.evaluation.calibrate import calibrate
    from vitreous.evaluation.evaluate import evaluate as run
    from vitreous.explaining.asked import read_class_names
    from vitreous.models.device import find_device
    from vitreous.models.zoo import describe, load

    console, pixels, names = Console(highlight=False), asked_window(window), read_class_names(class_names or ())
    where, output_given = find_device(device, float64=False), output_of(model_output)
    if device == "auto" and where.type == "mps":
        say("Evaluating on mps, this Mac's GPU.")
    loaded = load(model, checkpoint=checkpoint, device=where, output=output_given, link=link)
    loaded = describe(loaded, class_names=names)
    with counting(console, "pictures", again=ANEW) as tell:
        found = run(loaded, data, split, output, workers=workers, window=pixels, progress=tell)
    table = Table(box=None)
    for column in ("score", "value", "95 % interval"):
        table.add_column(column)
    for name, score in found.scores.items():
        table.add_row(name, f"{score.value:.4f}", f"{score.low:.4f} to {score.high:.4f}")
    console.print(table)
    say(f"calibration error {found.calibration_error:.4f}")
    size, work = found.cost.parameters / 1e6, found.cost.multiply_adds / 1e9
    say(f"{size:.2f} M parameters, {work:.2f} G multiply-adds per picture")
    for line in confusion_lines(found.confusion, found.class_names):
        say(line)
    console.print(f"Written to {output}", soft_wrap=True, markup=False)
    if calibrated:
        with stoppable(again=f"the scores are written, the calibration is not; {ANEW}"):
            temperature = calibrate(loaded, data, split, workers=workers, window=pixels)
        say(f"Class scores are now divided by {temperature:.4f}, in {model}.")
