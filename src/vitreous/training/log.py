"""What a run says while it goes, and what it leaves to read: log.csv, summary.json, TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import timm
import torch

from vitreous import __version__
from vitreous.errors import DataError, MissingExtra
from vitreous.files.reading import read_bytes
from vitreous.files.writing import whole_file, write_json

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
    "read_log",
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
    rows = [old for old in read_log(folder) if int(old["epoch"]) < row.epoch]
    with whole_file(folder / "log.csv") as part, part.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [item.name for item in fields(row)])
        writer.writeheader()
        writer.writerows([*rows, asdict(row)])


def write_summary(folder: Path, seed: int, fingerprint: str) -> None:
    """Write summary.json: the run in one glance.

    Raises:
        DataError: the log is missing or damaged.
    """
    rows = read_log(folder)
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
    write_json(folder / "summary.json", values)


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


def read_log(folder: Path) -> list[dict[str, str]]:
    """The rows of log.csv, whose texts are numbers, and "True" or "False" in `best`; none where there is no log.

    Raises:
        DataError: it is damaged.
    """
    log, remedy = folder / "log.csv", "Put it back as it was, or start again elsewhere."
    if not log.is_file():
        return []
    try:
        rows = list(csv.DictReader(read_bytes(log, remedy).decode().splitlines()))
        for row in rows:
            if not set(_COURSE) <= row.keys():
                raise ValueError(f"it lacks one of {', '.join(_COURSE)}")
            int(row["epoch"])
            [float(value) for name, value in row.items() if name != "best"]
    except (csv.Error, ValueError, TypeError) as error:
        raise DataError(f"`{log}` is no log of a run: {error}. {remedy}") from None
    return rows
