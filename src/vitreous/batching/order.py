"""What is to be done with every picture, and what the results depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch

from vitreous.benchmarking.describe import plain_settings
from vitreous.explaining.picture_job import PictureJob, describe_job
from vitreous.files.writing import to_json
from vitreous.methods.requirements import check_at_least
from vitreous.metrics.metric import Metric
from vitreous.settings.typed import Count, Within, check_settings

__all__ = ["Order", "Threads", "describe_order", "hash_of"]

Threads = Annotated[int, Within(1, 1024)]
"""Of a process: torch makes them all at once, and the system ends a process that asks for too many."""


@dataclass(frozen=True)
class Order:
    """What to do with every picture.

    Attributes:
        job: the model, on the CPU, and what is explained of it.
        device: where workers compute: "cpu" or "cuda".
        threads: of a worker, on a CPU.
        shard: pictures of a shard, at most.
        sheets: also draw a sheet of every picture.
        metrics: by name, what also measures every map.
    """

    job: PictureJob
    device: str = "cpu"
    threads: Threads = 1
    shard: Count = 200
    sheets: bool = False
    metrics: Mapping[str, Metric] = field(default_factory=dict[str, Metric])

    def __post_init__(self) -> None:
        check_settings(self)
        check_at_least("batch_size", self.job.batch_size, 1)

    @property
    def dtype(self) -> torch.dtype:
        """Of the model's weights."""
        return next(self.job.model.model.parameters()).dtype


def describe_order(order: Order) -> dict[str, Any]:
    """What rows depend on, the pictures aside, in plain values."""
    metrics = {name: {"source": each.source, "settings": plain_settings(each)} for name, each in order.metrics.items()}
    return {
        **describe_job(order.job),
        "device": torch.device(order.device).type,
        "class_names": list(order.job.model.class_names),
        "threads": order.threads,
        "shard": order.shard,
        "sheets": order.sheets,
        "metrics": metrics or None,
    }


def hash_of(about: Mapping[str, Any]) -> str:
    """SHA-256 of plain values."""
    return hashlib.sha256(to_json(dict(sorted(about.items()))).encode(errors="backslashreplace")).hexdigest()
