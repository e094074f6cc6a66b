"""`vitreous train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from vitreous.cli.progress import list_recipes, list_settings, training_shown

__all__ = ["train"]


def _list(wanted: bool) -> bool:
    if wanted:
        list_recipes()
    return wanted


def _list_settings(wanted: bool) -> bool:
    if wanted:
        list_settings()
    return wanted


def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A recipe that comes with vitreous, such as salg_t (see --list), or a TOML file: architecture, "
            "augmentation, optimizer, epochs."
        ),
    ],
    *,
    data: Annotated[
        str,
        typer.Option(
            help="An npz archive (jpeg, offset, label, split; or MedMNIST's), a folder with `train/CLASS/*.jpg` and "
            "`val/CLASS/*.jpg` (or `valid`), or torchvision:NAME:FOLDER for one of torchvision's data sets, such as "
            "torchvision:CIFAR10:data."
        ),
    ],
    output: Annotated[Path, typer.Option(help="Folder for the model, the log and the checkpoint.")] = Path("trained"),
    teacher: Annotated[
        Path | None,
        typer.Option(
            help="Where the recipe asks for one: for [distill] a checkpoint; for [fields] a model, such as a folder "
            "that an earlier run wrote."
        ),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="Trained weights to start from: timm:NAME, timm:NAME@FILE, a folder that an earlier run wrote, a "
            "model that comes along (default), or a checkpoint."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in the output folder.")] = False,
    device: Annotated[
        str, typer.Option(help="cpu, cuda, cuda:1, mps …; auto takes a GPU where there is one that can.")
    ] = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare pictures; 0 prepares them in turn.")] = 0,
    seed: Annotated[int | None, typer.Option(min=0, help="Another seed than the recipe's.")] = None,
    epochs: Annotated[
        int | None,
        typer.Option(min=1, help="Another number of epochs than the recipe's; a warm-up too long for them is cut."),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Log for TensorBoard too, in OUTPUT/tensorboard.")
    ] = False,
    listed: Annotated[
        bool, typer.Option("--list", callback=_list, is_eager=True, help="List the recipes that come with vitreous.")
    ] = False,
    explained: Annotated[
        bool,
        typer.Option(
            "--settings", callback=_list_settings, is_eager=True, help="List all settings of a recipe and defaults."
        ),
    ] = False,
) -> None:
    """Train a classifier from a recipe, from scratch or trained weights; it can be stopped and resumed at any epoch.

    The output folder is a model, the best of all epochs: vitreous explain PICTURE --model OUTPUT
    OUTPUT/last holds that of the newest.

    At the end it receives report.html: curves, confusions, and the worst mistakes with their heat maps. With
    --resume, a finished run gets a new one.

    Fine-tuning on your own pictures: vitreous train finetune --start timm:vit_small_patch16_224 --data FOLDER

    Several GPUs share the work under: torchrun --nproc-per-node COUNT -m vitreous train …
    """
    from contextlib import nullcontext
    from dataclasses import replace

    from vitreous.cli.console import say
    from vitreous.data.labelled import load_labelled
    from vitreous.errors import DataError
    from vitreous.evaluation.run_page import write_run_page
    from vitreous.models.device import find_device
    from vitreous.training.classify import train as run
    from vitreous.training.log import EpochDone, open_board
    from vitreous.training.processes import is_first
    from vitreous.training.recipe import find_recipe, read_recipe

    plan = read_recipe(find_recipe(recipe))
    plan = replace(plan if epochs is None else plan.lasting(epochs), seed=plan.seed if seed is None else seed)
    if teacher and not (plan.distill or (plan.fields and plan.fields.needs_teacher)):
        raise DataError(f"the recipe learns from no teacher, and {teacher} was given. Leave --teacher out.")
    where = find_device(device, float64=bool(plan.distill or plan.fields))
    if device == "auto" and where.type == "mps" and is_first():
        say("Training on mps, this Mac's GPU, and explaining for the report on the CPU: that takes float64.")
    board = open_board(output / "tensorboard") if tensorboard and is_first() else nullcontext()
    with training_shown(output, plan.epochs) as show, board as note:
        pictures = load_labelled(data)
        given: dict[str, Any] = {"teacher": teacher, "start": start, "device": where}
        for done in run(plan, pictures, output, workers=workers, resume=resume, **given):
            show(done)
            if note and isinstance(done, EpochDone):
                note(done)
        if is_first():
            # explanations are in part in float64
            write_run_page(output, pictures[1], device="cpu" if where.type == "mps" else where, workers=workers)
