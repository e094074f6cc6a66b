"""The work itself: a function from the pictures of a shard to its file, the same on every engine."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vitreous.batching.measured import Measured, measure_found
from vitreous.batching.order import Order
from vitreous.batching.shards import Shard, write_shard
from vitreous.data.pictures import open_encoded
from vitreous.data.sources.slices import Encoded, Slice, read_slice
from vitreous.errors import DataError, ExplainWarning, ModelError
from vitreous.explaining.batches import explain_images
from vitreous.explaining.found import Found, stack_maps
from vitreous.explaining.opening import prepare, show
from vitreous.explaining.outputs import Style, draw_sheet
from vitreous.explaining.picture_job import PictureJob
from vitreous.explaining.pictures import explained_of
from vitreous.methods.shared import NO_MEMORY
from vitreous.models.device import find_device
from vitreous.render.sheet import save_page
from vitreous.trace.once import measuring_once

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ShardWorker", "Task", "explain_slice"]

Task = tuple[int, Slice]
"""A shard's number, and its pictures."""


@dataclass(frozen=True)
class ShardWorker:
    """Makes, in a worker, the function from a task to its file.

    Attributes:
        order: what to do with every picture.
        folder: of the run.
        plan: hash of what rows depend on.
        root: the folder or address that the pictures lie below.
    """

    order: Order
    folder: Path
    plan: str
    root: str

    def __call__(self) -> Callable[[Task], Shard]:
        """Put the model where it computes."""
        torch.set_num_threads(self.order.threads)
        loaded, device = self.order.job.model, find_device(self.order.device)
        if next(loaded.model.parameters()).device != device:  # the one that was given stays where it is
            loaded = replace(loaded, model=deepcopy(loaded.model).to(device))
        order = replace(self.order, job=replace(self.order.job, model=loaded))
        return partial(_write, replace(self, order=order))


def _write(start: ShardWorker, task: Task) -> Shard:
    number, pictures = task
    order = start.order
    rows = explain_slice(order, pictures, start.root)
    shard = Shard(start.plan, number, len(rows), sum(row["error"] is not None for row in rows))
    write_shard(start.folder, shard, rows, [*order.job.methods], order.dtype)
    return shard


def explain_slice(order: Order, pictures: Slice, root: str) -> list[dict[str, Any]]:
    """A row for every picture of a slice below a root: what is found of it, or why nothing is.

    Raises:
        DataError: the pictures are gone.
        ExplainError: what would fail for every picture: see `explain_images`.
    """
    rows: list[dict[str, Any]] = []
    refused: Mapping[str, str] = {}
    left = read_slice(pictures, root)
    # of pictures: their rows say so
    with warnings.catch_warnings(action="ignore", category=ExplainWarning), measuring_once():
        while batch := list(islice(left, order.job.batch_size)):
            found, refused = _explain(order, batch, refused)
            rows += found
    return rows


def _explain(
    order: Order, batch: Sequence[Encoded], refused: Mapping[str, str]
) -> tuple[list[dict[str, Any]], Mapping[str, str]]:
    """The rows of pictures that run at once; and why methods do not apply to the model, also those of before."""
    read = [_read(order, *each) for each in batch]
    images = [each[1] for each in read if not isinstance(each, DataError)]
    found, refused = explain_images(order.job, images, refused)
    left = iter(zip(found, _measured(order, images, found), strict=True))
    rows = [
        _row(order, encoded, each, *((None, Measured()) if isinstance(each, DataError) else next(left)))
        for encoded, each in zip(batch, read, strict=True)
    ]
    return rows, refused


def _measured(order: Order, images: Sequence[Tensor], found: Sequence[Found | Exception]) -> list[Measured]:
    """Of each picture, of which some have been found."""
    good = [at for at, each in enumerate(found) if isinstance(each, Found)]
    if not order.metrics or not good:
        return [Measured() for _ in found]
    some = [each for each in found if isinstance(each, Found)]
    told = dict(
        zip(good, measure_found(order.metrics, order.job, torch.stack([images[at] for at in good]), some), strict=True)
    )
    return [told.get(at, Measured()) for at in range(len(found))]


def _read(order: Order, name: str, encoded: bytes | DataError) -> tuple[Image, Tensor] | DataError:
    if isinstance(encoded, DataError):
        return encoded
    return prepare(order.job.model, partial(open_encoded, encoded, name, order.job.window), name)


def _row(
    order: Order,
    encoded: Encoded,
    read: tuple[Image, Tensor] | DataError,
    found: Found | Exception | None,
    measured: Measured,
) -> dict[str, Any]:
    name, data = encoded
    row: dict[str, Any] = {
        "picture": name,
        "sha256": None if isinstance(data, DataError) else hashlib.sha256(data).hexdigest(),
        "error": None,
    }
    if isinstance(read, DataError):
        return row | {"error": str(read)}
    picture = read[0]
    row |= {
        "size": picture.size,
        "box": order.job.model.prepared().box(picture),
        "warning": picture.info.get("warning"),
        "window": picture.info.get("window"),
    }
    if not isinstance(found, Found):
        return row | {"error": str(found)}
    if NO_MEMORY in found.refused.values():
        raise ModelError(f"`{name}`: {NO_MEMORY}")
    if not found.methods:
        row["error"] = f"no method gave a map of `{name}`. Try another target or method."
    return row | {
        "logits": None if found.logits is None else found.logits.tolist(),
        "targets": [each.index for each in found.targets],
        "layers": list(found.layers.items()),
        "refused": list(found.refused.items()),
        "metrics": [*measured.numbers.items()] if order.metrics else None,
        "unmeasured": [*measured.unmeasured.items()] if order.metrics else None,
        **{method: stack_maps(found.attempts[method]).tolist() for method in found.methods},
        "sheet": _sheet(order.job, name, read, found) if order.sheets and found.methods else None,
    }


def _sheet(job: PictureJob, name: str, read: tuple[Image, Tensor], found: Found) -> bytes:
    """As PNG."""
    explained = explained_of(job, show(job.model, Path(name), *read), found)
    page = BytesIO()
    save_page(draw_sheet(explained, Style()), page, "png")
    return page.getvalue()
