"""`vitreous train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["train"]


def _list(wanted: bool) -> bool:
    if wanted:
        from vitreous.training.recipe import shipped_recipes

        for name, path in shipped_recipes().items():
            about = path.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
            typer.echo(f"{name:<10}{about}")
        raise typer.Exit
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
            help="An npz archive (jpeg, offset, label, split; or MedMNIST's), a folder with train/CLASS/*.jpg and "
            "val/CLASS/*.jpg, or torchvision:NAME:FOLDER for one of torchvision's data sets, such as "
            "torchvision:CIFAR10:data."
        ),
    ],
    output: Annotated[Path, typer.Option(help="Folder for the model, the log and the checkpoint.")] = Path("trained"),
    teacher: Annotated[
        Path | None, typer.Option(help="Checkpoint of the teacher, where the recipe distills from one.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in the output folder.")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …; auto takes a GPU where there is one.")] = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare pictures; 0 prepares them in turn.")] = 0,
    seed: Annotated[int | None, typer.Option(help="Another seed than the recipe's.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Another number of epochs than the recipe's.")] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Log for TensorBoard too, in OUTPUT/tensorboard.")
    ] = False,
    listed: Annotated[
        bool, typer.Option("--list", callback=_list, is_eager=True, help="List the recipes that come with vitreous.")
    ] = False,
) -> None:
    """Train a classifier from a recipe, from scratch; it can be stopped and resumed at any epoch.

    The output folder is a model: vitreous explain PICTURE --model OUTPUT

    At the end it receives report.html: curves, confusions, and the worst mistakes with their heat maps. With
    --resume, a finished run gets a new one.

    Several GPUs share the work under: torchrun --nproc-per-node COUNT -m vitreous train …
    """
    from contextlib import nullcontext
    from dataclasses import replace

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from vitreous.data.labelled import load_labelled
    from vitreous.jobs.run_page import write_run_page
    from vitreous.models.device import find_device
    from vitreous.training.classify import train as run
    from vitreous.training.log import EpochDone, open_board
    from vitreous.training.processes import is_first
    from vitreous.training.recipe import find_recipe, read_recipe

    plan = read_recipe(find_recipe(recipe))
    plan = replace(plan, seed=plan.seed if seed is None else seed, epochs=plan.epochs if epochs is None else epochs)
    where, console = find_device(device), Console(quiet=not is_first())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    board = open_board(output / "tensorboard") if tensorboard and is_first() else nullcontext()
    with Progress(*columns, console=console) as progress, board as note:
        bar = progress.add_task("starting", total=None)
        pictures = load_labelled(data)
        for done in run(plan, pictures, output, teacher=teacher, device=where, workers=workers, resume=resume):
            if isinstance(done, EpochDone):
                if note:
                    note(done)
                star = " (best so far)" if done.best else ""
                console.print(
                    f"epoch {done.epoch:>3}/{plan.epochs}  loss {done.loss:.3f}  lr {done.lr:.2e}  "
                    f"top-1 {done.top1:.1%}{star}  {done.seconds:.0f} s"
                )
            else:
                text = f"epoch {done.epoch} of {plan.epochs}, loss {done.loss:.3f}"
                progress.update(bar, description=text, completed=done.step, total=done.steps)
        if is_first():
            progress.update(bar, description="writing the page")
            write_run_page(output, pictures[1], device=where, workers=workers)
    console.print(f"The best weights, the log, the page and the checkpoint are in {output}.")
