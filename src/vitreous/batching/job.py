"""The whole job: `batch(pictures, model)`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vitreous.batching.measured import check_metrics, complete_metrics
from vitreous.batching.order import Order, Threads
from vitreous.batching.plan import ShardPlan, settle_plan
from vitreous.batching.shard import ShardWorker, Task
from vitreous.batching.shards import SHARDS, Shard, find_shard, read_rows, shard_path
from vitreous.data.depth import Window, asked_window
from vitreous.engines.choose import make_engine
from vitreous.engines.engine import Engine
from vitreous.errors import ShapeError
from vitreous.explaining.asked import Several, asked_methods, read_class_names
from vitreous.explaining.picture_job import PictureJob, complete_job
from vitreous.files.writing import check_writable, sweep
from vitreous.methods import METHODS
from vitreous.methods.method import Method
from vitreous.metrics import make_metric
from vitreous.metrics.metric import Metric
from vitreous.models.device import find_device
from vitreous.models.loaded import LoadedModel
from vitreous.models.preprocess import Preprocess
from vitreous.models.zoo import describe, load
from vitreous.settings.arguments import checked
from vitreous.settings.typed import Count

__all__ = ["Batch", "batch", "complete_order", "do_again", "run_order"]

Told = Callable[[int, int], None]


@dataclass(frozen=True)
class Batch:
    """What a finished run, or its share of one, leaves.

    Attributes:
        folder: of the run: `shards/part-000000.parquet` and so on, and `manifest.json`.
        pictures: that have a row.
        failed: those of them whose row says why they could not be explained.
        shards: their numbers.
    """

    folder: Path
    pictures: int
    failed: int
    shards: range

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row a picture, in the order of the data set, read as they are asked for.

        `picture`, `sha256` of its file, `size` (width, height) upright, `box` (left, top, right, bottom) that the model
        saw of it and maps lie on, `error`, `warning`, `window` of gray values, `logits` (classes), `targets` (classes
        explained), `layers` and `refused` by method, `metrics` by "method.metric.number", a value a target, and by
        "method.metric" why some are `unmeasured`, `sheet` as PNG; and by the name of each method its maps,
        (targets, h, w), raw, NaN where it gave none. What there is not is None.

        Raises:
            DataError: a shard cannot be read.
        """
        for number in self.shards:
            yield from read_rows(shard_path(self.folder, number))


@checked("model", "method")
def batch(
    dataset: str | Path,
    model: nn.Module | LoadedModel | str | Path = "default",
    method: str | Method | Several = "ag_cam",
    target: str = "predicted",
    *,
    output: str | Path,
    against: str = "",
    engine: str = "local",
    address: str = "",
    workers: Count | None = 1,
    threads: Threads = 1,
    share: tuple[int, int] = (0, 1),
    shard: Count = 200,
    batch_size: Count = 8,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    sheets: bool = False,
    metric: str | Sequence[str] | Mapping[str, str | Metric] = (),
    preprocess: Preprocess | None = None,
    class_names: Sequence[str] | str | Path = (),
    pixel_window: Window = None,
    progress: Told | None = None,
    settings: Mapping[str, Any] | None = None,
    **more: Any,
) -> Batch:
    """Explain any number of pictures, on one machine or many, in shards that are never done twice and never lost.

    Each shard is one Parquet file that appears whole: a row a picture, a column of maps a method. Run it again after
    any stop, and it goes on; the rows are the same, to the bit, whatever the number of workers and the engine, on the
    same kind of device.

    Args:
        dataset: a folder of pictures (searched to the bottom), or of .zip, .tar or .parquet files of pictures; one such
            file; a pattern such as "shards/*.tar"; a .txt file with a path or address a line; or the address of any of
            these, as fsspec takes it, such as "s3://bucket/folder".
        model: a spec as `vitreous.load` takes it, or your own module. It must be picklable for several processes.
        method: one or several, as `vitreous.explain` takes them.
        target: "predicted", "top-K", or a class by its name or index.
        output: folder that all workers see.
        against: why the target rather than this class.
        engine: "local", or "ray" to let Ray schedule the shards.
        address: of a running Ray cluster, "auto" for the one of this machine; Ray is started here where it is empty.
        workers: processes, each with a model; 1 of the local engine is this process. None for as many as there are
            CPUs for their threads, or GPUs.
        threads: of a worker, on a CPU.
        share: (index, count): do every count-th shard from that index, as tasks of a Slurm array do.
        shard: pictures of a shard; what a kill may cost, at most, per worker.
        batch_size: how many pictures run at once. Batches never reach across shards.
        device: "cpu", "cuda" or "auto", a GPU where there is one; None for where your module is, or "auto" of a spec.
            It is a copy of your module that goes elsewhere.
        dtype: of the model's weights, where it is given by a spec.
        sheets: also draw a sheet of every picture, as `vitreous explain` does, into the column `sheet`.
        metric: one or several that measure every map on its own picture, by name or as they are, into the column
            `metrics`; such as "saco" or {"mine": Perturbation(parts=10)}.
        preprocess: how pictures are prepared, where the model does not say.
        class_names: one per logit, where the model has none; or a text file with one a line.
        pixel_window: of gray pictures of more than 8 bits, as for `vitreous.explain`.
        progress: told how many pictures are done, of how many; first of those that were done before.
        settings: of methods that are given by name, as for `vitreous.explain`.
        more: the same as arguments.

    Returns:
        how many pictures have a row, and what reads the rows.

    Raises:
        DataError: pictures, or the output folder, cannot be read or written, or are not those of before. What is done
            stays, and the next run goes on.
        WorkerLost: a worker died; likewise.
        ExplainError: a name, model or setting that cannot be used.
    """
    asked = asked_methods(method, settings or {}, more, [*signature(batch).parameters][:-1])
    methods = {name or _name_of(each): each for name, each in asked.items()}
    names = read_class_names(class_names)
    if isinstance(model, str | Path):
        subject, device = load(model, dtype=dtype), device or "auto"
    else:
        subject = describe(model)
    subject = describe(subject, preprocess, names)
    where = find_device(device) if device else next(subject.model.parameters()).device
    window = asked_window(pixel_window)
    job = PictureJob(
        subject, methods, target, against, batch_size=batch_size, window=window, class_names=names, output=Path(output)
    )
    metrics = _metrics(metric)
    order = complete_order(job, metrics, where, threads=threads, shard=shard, sheets=sheets)
    chosen = make_engine(engine, address, workers, threads, gpu=where.type == "cuda")
    return run_order(order, str(dataset), Path(output).absolute(), chosen, share=share, progress=progress)


def complete_order(
    job: PictureJob, metrics: Mapping[str, Metric], device: torch.device, *, threads: int, shard: int, sheets: bool
) -> Order:
    """The order, with what follows from the model. Arguments as those of `Order`.

    Raises:
        ExplainError: a setting cannot be used, or a metric not on pictures alone.
    """
    check_metrics(metrics, job)
    return Order(complete_job(job), str(device), threads, shard, sheets, complete_metrics(metrics, job.model))


def _metrics(metric: str | Sequence[str] | Mapping[str, str | Metric]) -> dict[str, Metric]:
    """Metrics by name."""
    several = {metric: metric} if isinstance(metric, str) else metric
    named = several if isinstance(several, Mapping) else dict(zip(several, several, strict=True))
    return {name: make_metric(each) if isinstance(each, str) else each for name, each in named.items()}


def _name_of(method: Method) -> str:
    """Of a method that was given alone, as it is."""
    return next((name for name, maker in METHODS.items() if maker is type(method)), type(method).__name__)


def run_order(
    order: Order,
    dataset: str,
    output: Path,
    engine: Engine,
    *,
    share: tuple[int, int] = (0, 1),
    progress: Told | None = None,
) -> Batch:
    """Do the shards of a share that are not done yet. Arguments, result and errors as for `batch`."""
    index, count = share
    if not 0 <= index < count:
        raise ShapeError(f"`share` is {index} of {count}. Count shares from 0: the last is {count - 1} of {count}.")
    plan = settle_plan(order, dataset, output)
    _sweep(plan, count)
    there = _Standing(plan, share)
    tell = progress or (lambda done, of: None)
    tell(there.pictures, there.total)
    start = ShardWorker(order, plan.folder, plan.hash, plan.root)
    try:
        with _threads_kept(), closing(_run(engine, start, there.tasks())) as fresh:
            for shard in fresh:
                there.pictures += shard.pictures
                there.failed += shard.failed
                tell(there.pictures, there.total)
    finally:
        _sweep(plan, count)
    return Batch(output, there.pictures, there.failed, range(index, plan.shards, count))


def do_again(order: Order, plan: ShardPlan, output: Path, engine: Engine) -> Iterator[Shard]:
    """Do all shards of a run once more, into another folder, which gets no plan of its own.

    Raises:
        DataError: pictures are gone, or the folder cannot be written.
        WorkerLost: a worker died.
    """
    check_writable(output / SHARDS)
    start = ShardWorker(order, output, plan.hash, plan.root)
    with _threads_kept(), closing(_run(engine, start, plan.tasks())) as fresh:
        yield from fresh


def _sweep(plan: ShardPlan, shares: int) -> None:
    """Remove what those left that died, unless others may be writing just now."""
    if shares == 1:
        sweep(plan.folder)
        sweep(plan.folder / SHARDS)


def _run(engine: Engine, start: ShardWorker, tasks: Iterator[Task]) -> Generator[Any]:
    yield from engine.run(start, tasks)


class _Standing:
    """How far a share is: a byte a shard, whatever the number of pictures."""

    def __init__(self, plan: ShardPlan, share: tuple[int, int]) -> None:
        self._plan, self._share = plan, share
        self._done = bytearray(plan.shards)
        self.total = self.pictures = self.failed = 0
        for number, pictures in plan.tasks(*share):
            self.total += pictures.count
            if found := find_shard(plan.folder, number, plan.hash):
                self._done[number] = True
                self.pictures += found.pictures
                self.failed += found.failed

    def tasks(self) -> Iterator[Task]:
        return (task for task in self._plan.tasks(*self._share) if not self._done[task[0]])


@contextmanager
def _threads_kept() -> Generator[None]:
    """The number of threads is as it was when the block ends: a worker in this process sets its own."""
    before = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(before)
