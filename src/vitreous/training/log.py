"""What a run says while it goes, and what it leaves to read: log.csv, summary.json, TensorBoard."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import timm
import torch

from vitreous import __version__
from vitreous.errors import DataError, MissingExtra
from vitreous.files.writing import whole_file

__all__ = [
    "DetectionEpoch",
    "Epoch",
    "EpochDone",
    "Event",
    "Judged",
    "Note",
    "StepDone",
    "add_row",
    "open_board",
    "versions",
    "write_summary",
]


@dataclass(frozen=True)
class StepDone:
    """Progress inside an epoch."""

    epoch: int
    step: int
    steps: int
    loss: float


@dataclass(frozen=True)
class Judged:
    """Progress of a validation, in pictures."""

    done: int
    pictures: int


@dataclass(frozen=True)
class Note:
    """Something to know about a run, in a sentence."""

    text: str


@dataclass(frozen=True)
class EpochDone:
    """One row of the log.

    Attributes:
        epoch: how many are done.
        loss: mean training loss.
        lr: learning rate of the last step.
        top1: share of the validation pictures that the averaged weights get right.
        seconds: time taken by the epoch, validation included.
        best: whether these weights are the best so far.
    """

    epoch: int
    loss: float
    lr: float
    top1: float
    seconds: float
    best: bool


@dataclass(frozen=True)
class DetectionEpoch:
    """One row of a detector's log.

    Attributes:
        epoch: how many are done.
        loss: mean training loss.
        lr: learning rate of the last step.
        box_ap: COCO's average precision of the boxes in the validation pictures.
        mask_ap: of the masks.
        seconds: time taken by the epoch, validation included.
        best: whether these weights are the best so far, by their boxes.
    """

    epoch: int
    loss: float
    lr: float
    box_ap: float
    mask_ap: float
    seconds: float
    best: bool


Epoch = EpochDone | DetectionEpoch
Event = StepDone | Judged | Note | Epoch
_COURSE = ("epoch", "loss", "lr", "seconds", "best")
"""The columns that say how a run goes; the others judge the model."""


def versions() -> dict[str, str]:
    """What the numbers of a run depend on."""
    return {"vitreous": __version__, "torch": torch.__version__, "timm": timm.__version__}


def add_row(folder: Path, row: Epoch) -> None:
    """Add a row to log.csv; rows of epochs that are done again go."""
    rows = [old for old in _rows(folder) if int(old["epoch"]) < row.epoch]
    with whole_file(folder / "log.csv") as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [item.name for item in fields(row)])
        writer.writeheader()
        writer.writerows([*rows, asdict(row)])


def write_summary(folder: Path, seed: int, fingerprint: str) -> None:
    """Write summary.json: the run in one glance.

    Raises:
        DataError: the log is missing.
    """
    rows = _rows(folder)
    best = next((row for row in reversed(rows) if row["best"] == "True"), None)
    if best is None:
        raise DataError(f"{folder / 'log.csv'} lacks the epochs that are done. Put it back, or start again elsewhere.")
    values = {
        **{name: float(value) for name, value in best.items() if name not in _COURSE},
        "best_epoch": int(best["epoch"]),
        "epochs": len(rows),
        "seconds": round(sum(float(row["seconds"]) for row in rows), 1),
        "seed": seed,
        "data_sha256": fingerprint,
        **versions(),
    }
    with whole_file(folder / "summary.json") as part:
        part.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


@contextmanager
def open_board(folder: Path) -> Generator[Callable[[Epoch], None]]:
    """A TensorBoard log in `folder`, open inside the block: call it with each epoch.

    Raises:
        MissingExtra: tensorboard is not installed.
    """
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        raise MissingExtra("tensorboard", "train") from None
    with SummaryWriter(str(folder)) as writer:

        def write(row: Epoch) -> None:
            for item in fields(row):
                if item.name not in ("epoch", "best"):
                    writer.add_scalar(item.name, getattr(row, item.name), row.epoch)

        yield write


def _rows(folder: Path) -> list[dict[str, Any]]:
    log = folder / "log.csv"
    if not log.is_file():
        return []
    with log.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
