"""`vitreous batch`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vitreous.cli.completion import complete_metrics
from vitreous.cli.options import (
    Address,
    Checkpoint,
    Device,
    Engine,
    InPrecision,
    Model,
    NamesFile,
    Precision,
    Window,
    pair_of,
)
from vitreous.cli.reads import Said, reads
from vitreous.cli.settings import Settings, read_settings

if TYPE_CHECKING:
    from vitreous.batching.job import Batch
    from vitreous.cli.console import Console

__all__ = ["EXAMPLES", "batch"]

EXAMPLES = """
**Pictures**

`photos` a folder, searched to the bottom; `photos.txt` a list, with a path or address a line

`"shards/*.tar"`, `photos.zip`, `parquet/` archives as they are, WebDataset's among them, and Parquet files with a
column of pictures, as of Hugging Face

`s3://bucket/photos` an address that fsspec knows; what it needs to open it, such as s3fs, is installed apart

**Examples**

All cores of this machine: `vitreous batch photos --method ag_cam,rollout`

A Ray cluster: `vitreous batch "/data/shards/*.tar" --engine ray --address auto --output /data/maps`

One task of a Slurm array of 16: `vitreous batch photos.txt --share $SLURM_ARRAY_TASK_ID,16`

Interrupt it whenever you like: run again, it goes on where it stopped.
"""
_EVERY = 60.0
"""Seconds between two lines of a log."""


@reads
def batch(
    dataset: Annotated[
        str, typer.Argument(metavar="DATASET", help="Where the pictures lie; see below.", show_default=False)
    ],
    *,
    model: Model = "default",
    checkpoint: Checkpoint = None,
    class_names: NamesFile = None,
    how: Said,
    method: Annotated[
        str, typer.Option(metavar="NAME,…", help="Methods by name, with commas between; see 'vitreous methods'.")
    ] = "ag_cam",
    metric: Annotated[
        str,
        typer.Option(
            metavar="NAME,…",
            autocompletion=complete_metrics,
            help="Metrics by name that measure every map on its own picture, into the column 'metrics'; see 'vitreous "
            "metrics'.",
            show_default=False,
        ),
    ] = "",
    setting: Settings = None,
    target: Annotated[
        str,
        typer.Option(
            metavar="CLASS", help="The class to explain: 'predicted', 'top-K', a class name, or its index from 0."
        ),
    ] = "predicted",
    against: Annotated[
        str, typer.Option(metavar="CLASS", help="Why the target rather than this class.", show_default=False)
    ] = "",
    sheets: Annotated[
        bool, typer.Option("--sheets", help="Also draw a sheet of every picture, into the column 'sheet'.")
    ] = False,
    output: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="Folder for shards/part-000000.parquet … and manifest.json."),
    ] = Path("batch"),
    engine: Engine = "local",
    address: Address = "",
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="COUNT",
            min=1,
            help="Processes, each with a model. By default one a GPU, or as many as there are CPUs for their threads.",
            show_default=False,
        ),
    ] = None,
    threads: Annotated[
        int, typer.Option(metavar="COUNT", min=1, help="Of a worker, on a CPU. Rows depend on it, by rounding.")
    ] = 1,
    share: Annotated[
        str,
        typer.Option(
            metavar="INDEX,COUNT",
            help="Do every COUNT-th shard from INDEX, counted from 0: what one task of an array of jobs does.",
            show_default=False,
        ),
    ] = "",
    shard: Annotated[
        int, typer.Option(metavar="COUNT", min=1, help="Pictures of a shard; a kill costs a worker's shard at most.")
    ] = 200,
    batch_size: Annotated[
        int, typer.Option(metavar="COUNT", min=1, help="Pictures that run at once. Rows depend on it, by rounding.")
    ] = 8,
    device: Device = "auto",
    dtype: InPrecision = Precision.float32,
    window: Window = None,
) -> None:
    """Explain any number of pictures, on one machine or many: a Parquet file a shard, a row a picture.

    A file of a shard is there as a whole or not at all, and is never written twice. A picture that cannot be read has a
    row that says why; the exit status is 0 once every picture has its row, and 1 where a run must stop: the disk is
    full, pictures are gone, a worker died. What is done stays, and the same command goes on.
    """
    import torch

    from vitreous.batching.job import batch as run
    from vitreous.benchmarking.plan import plan_metric
    from vitreous.cli.console import Console
    from vitreous.cli.progress import counting
    from vitreous.data.depth import asked_window
    from vitreous.methods import make_method
    from vitreous.models.device import find_device
    from vitreous.models.zoo import load

    names, measures = ([name.strip() for name in each.split(",") if name.strip()] for each in (method, metric))
    if not names:
        raise typer.BadParameter("names no method. See 'vitreous methods'.", param_hint="--method")
    given = read_settings(setting or [], names, measures)
    methods = {name: make_method(name, **given[name]) for name in names}
    metrics = {name: plan_metric(name, given[name]) for name in measures}
    where = find_device(device)
    console = Console(highlight=False)
    with counting(console, "pictures", every=_EVERY) as tell:
        done = run(
            dataset,
            load(model, checkpoint=checkpoint, dtype=getattr(torch, dtype.value), **how),
            methods,
            target,
            metric=metrics,
            output=output,
            against=against,
            engine=engine,
            address=address,
            workers=workers,
            threads=threads,
            share=pair_of(share, "--share") or (0, 1),
            shard=shard,
            batch_size=batch_size,
            device=where,
            sheets=sheets,
            class_names=class_names or (),
            pixel_window=asked_window(window),
            progress=tell,
        )
    _finish(console, done)


def _finish(console: Console, done: Batch) -> None:
    from vitreous.batching.shards import SHARDS

    told = [f"{done.pictures:,} pictures in {len(done.shards):,} shards: {done.folder / SHARDS}"]
    if done.failed:
        told.append(f"{done.failed:,} of them could not be explained; their rows say why, under `error`.")
    for line in told:
        console.print(line, soft_wrap=True, markup=False)
