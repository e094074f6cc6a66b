"""`vitreous detect`: train, evaluate and explain object detectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vitreous.cli.options import Device, Window
from vitreous.cli.progress import list_recipes, training_shown

__all__ = ["detect", "evaluate", "explain", "train"]

detect = typer.Typer(
    no_args_is_help=True, help="Train, evaluate and explain object detectors: Mask R-CNN on any pyramid of timm."
)

_Data = Annotated[
    Path,
    typer.Option(
        help="A folder, or zip archive, in COCO's layout: annotations/instances_SPLIT.json, and the pictures in SPLIT/."
    ),
]
_Detector = Annotated[Path, typer.Option(help="Folder that `vitreous detect train` wrote.")]
_Workers = Annotated[int, typer.Option(min=0, help="Processes that prepare pictures; 0 prepares them in turn.")]

_COLUMNS = {"ap": "AP", "ap_50": "AP50", "ap_75": "AP75", "small": "small", "medium": "medium", "large": "large"}
_SHOWN = 10


def _list(wanted: bool) -> bool:
    if wanted:
        from vitreous.training.detection.recipe import RECIPES

        list_recipes(RECIPES)
    return wanted


@detect.command("train")
def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A recipe that comes with vitreous, such as salg_t_1x (see --list), or a TOML file: architecture, "
            "picture sizes, learning rate, milestones."
        ),
    ],
    *,
    data: _Data,
    train_split: Annotated[str, typer.Option("--train", metavar="SPLIT", help="To learn from.")] = "train2017",
    val_split: Annotated[str, typer.Option("--val", metavar="SPLIT", help="To validate with.")] = "val2017",
    output: Annotated[Path, typer.Option(help="Folder for the detector, the log and the checkpoint.")] = Path(
        "detector"
    ),
    backbone: Annotated[
        Path | None,
        typer.Option(
            help="Start from this classifier of the same architecture: a folder that `vitreous train` wrote, or a "
            "checkpoint. Without it, from scratch.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in the output folder.")] = False,
    device: Device = "auto",
    workers: _Workers = 0,
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed than the recipe's.", show_default=False)] = None,
    listed: Annotated[
        bool, typer.Option("--list", callback=_list, is_eager=True, help="List the recipes that come with vitreous.")
    ] = False,
) -> None:
    """Train a Mask R-CNN from a recipe; it can be stopped and resumed at any epoch.

    Several GPUs share the work under: torchrun --nproc-per-node COUNT -m vitreous detect train …
    """
    from dataclasses import replace

    from vitreous.data.objects import read_scenes
    from vitreous.models.device import find_device
    from vitreous.training.detection.recipe import RECIPES, read_detection_recipe
    from vitreous.training.detection.train import train as run
    from vitreous.training.recipe import find_recipe

    plan = read_detection_recipe(find_recipe(recipe, RECIPES))
    plan = replace(plan, seed=plan.seed if seed is None else seed)
    where = find_device(device)
    with training_shown(output, plan.epochs) as show:
        scenes = read_scenes(data, train_split), read_scenes(data, val_split)
        for event in run(plan, scenes, output, backbone=backbone, device=where, workers=workers, resume=resume):
            show(event)


@detect.command("evaluate")
def evaluate(
    *,
    model: _Detector,
    data: _Data,
    split: Annotated[str, typer.Option(metavar="SPLIT", help="To evaluate on.")] = "val2017",
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the figures, as JSON.")] = Path(
        "average_precision.json"
    ),
    device: Device = "auto",
    workers: _Workers = 0,
    window: Window = None,
) -> None:
    """Measure COCO's average precision of boxes and masks."""
    from dataclasses import asdict

    from rich.table import Table

    from vitreous.cli.console import Console
    from vitreous.cli.progress import ANEW, counting
    from vitreous.data.depth import asked_window
    from vitreous.evaluation.detection import evaluate_detector
    from vitreous.models.device import find_device

    console, where, seen = Console(), find_device(device), asked_window(window)
    with counting(console, "pictures", again=ANEW) as tell:
        score = evaluate_detector(model, data, split, output, device=where, workers=workers, window=seen, progress=tell)
    table = Table("average precision", *_COLUMNS.values())
    for kind, values in asdict(score).items():
        table.add_row(kind, *("–" if values[name] is None else f"{values[name]:.1%}" for name in _COLUMNS))
    console.print(table)
    console.print(f"The figures are in {output}.", soft_wrap=True, markup=False)


@detect.command("explain")
def explain(
    picture: Annotated[Path, typer.Argument(help="A picture file.")],
    *,
    model: _Detector,
    detection: Annotated[
        int, typer.Option(metavar="NUMBER", min=1, help="The detection to explain; 1 is the surest.")
    ] = 1,
    of_class: Annotated[
        str,
        typer.Option(
            "--class",
            metavar="NAME",
            help="Explain all objects of this class in place of one detection, all boxes on one sheet.",
            show_default=False,
        ),
    ] = "",
    least: Annotated[
        float, typer.Option(metavar="SCORE", min=0, max=1, help="Of '--class': score of an object that counts.")
    ] = 0.5,
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Of '--class': the data that the picture is of, in COCO's layout. Boxes that are right (IoU of 0.5 or "
            "more with an object of the class, each object once) become blue, others red.",
            show_default=False,
        ),
    ] = None,
    split: Annotated[str, typer.Option(metavar="SPLIT", help="Of '--truth'.")] = "val2017",
    method: Annotated[
        str, typer.Option(metavar="NAME", help="A method that reads one layer: grad_cam, layer_cam, hires_cam …")
    ] = "grad_cam",
    layer: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="The layer to read, such as pyramid.body.stages.2. By default the level of the feature pyramid that "
            "the detection's box is read from.",
            show_default=False,
        ),
    ] = "",
    output: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the sheet.")] = Path("detection.png"),
    device: Device = "auto",
    window: Window = None,
) -> None:
    """List the objects that a detector finds in a picture, and show what speaks for one of them."""
    from rich.table import Table
    from rich.text import Text

    from vitreous.cli.console import Console
    from vitreous.data.depth import asked_window
    from vitreous.explaining.detection_job import DetectionJob, explain_objects, write_objects
    from vitreous.explaining.detections import ExplainedClass
    from vitreous.models.device import find_device

    if truth and not of_class:
        raise typer.BadParameter("is asked for with --class NAME, whose boxes it judges.", param_hint="--truth")
    seen = asked_window(window)
    job = DetectionJob(model, picture, detection, of_class, least, truth, split, method, layer, seen)
    explained = explain_objects(job, find_device(device))
    found = explained.found
    if isinstance(found, ExplainedClass):
        write_objects(output, explained)
        count = len(found.boxes)
        said = f", {sum(found.right)} right, {found.missed} missed" if found.right is not None else ""
        text = f"{count} {'object' if count == 1 else 'objects'}{said}, explained by {method}: {output}"
        Console(highlight=False).print(text, soft_wrap=True, markup=False)
        return
    objects = found.found
    table = Table("", "object", "score", "left, top, right, bottom")
    for at in range(min(len(objects.boxes), max(detection, _SHOWN))):
        sides = ", ".join(f"{side:.0f}" for side in objects.boxes[at].tolist())
        name = Text(explained.class_names[int(objects.labels[at]) - 1])
        table.add_row(str(at + 1), name, f"{float(objects.scores[at]):.1%}", sides)
    console = Console(highlight=False)
    console.print(table)
    if more := len(objects.boxes) - table.row_count:
        console.print(f"and {more} less sure")
    write_objects(output, explained)
    text = f"Detection {detection}, explained by {method} at {found.layer}, is in {output}."
    console.print(text, soft_wrap=True, markup=False)
