"""What a verification measures on a batch, and how its numbers are summed up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import ClassVar

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from vitreous.interact.indicator import Averages
from vitreous.render.charts import Line, Panels
from vitreous.shapes import Images
from vitreous.statistics.summary import Cell, Values

__all__ = ["AccuracyCurve", "Check", "Findings", "LabelledBatch", "Measured", "clock", "draw_line", "hits"]

Measured = Mapping[str, Mapping[str, Tensor]]
"""By row of the table, named values of (batch, …)."""


@dataclass(frozen=True)
class LabelledBatch:
    """Pictures as the model sees them.

    Attributes:
        images: normalized.
        labels: the model's index of their classes.
        seeds: one number each, from the seed of the run and the picture's name.
    """

    images: Images
    labels: Int[Tensor, " batch"]
    seeds: Sequence[int]


@dataclass(frozen=True)
class Findings:
    """What a verification found.

    Attributes:
        cells: the numbers.
        reference: what the stars in the table say.
        panels: of the plot: by title, by row, its line.
        axes: of the plot.
        notes: sentences under the table.
        shown: by the name of a number, how people are told of it, where that is another.
    """

    cells: Sequence[Cell]
    reference: str
    panels: Panels
    axes: tuple[str, str]
    notes: Sequence[str] = ()
    shown: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Check(ABC):
    """A verification: a frozen dataclass whose fields are its settings."""

    name: ClassVar[str]
    """In titles and files."""
    needs_averages: ClassVar[bool] = False
    """Whether it reads the averages over a calibration set."""

    @abstractmethod
    def measure(self, model: nn.Module, batch: LabelledBatch, averages: Averages | None) -> Measured:
        """Values of every picture."""

    @abstractmethod
    def report(self, model: str, found: Mapping[str, Values], resamples: int, seed: int) -> Findings:
        """The table and the plot."""


@dataclass(frozen=True)
class AccuracyCurve:
    """Accuracy at several steps: how many pictures are right at each, how much is kept there, and what it costs.

    Attributes:
        steps: names of the steps, from the least kept to the most or the other way round.
        timed: whether seconds were measured; the first step is then the bare model.
    """

    steps: tuple[str, ...]
    timed: bool = False

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Of each value of one picture."""
        return dict.fromkeys(("correct", "kept", "seconds") if self.timed else ("correct", "kept"), (len(self.steps),))

    def summary(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """The mean accuracy over what is kept (the area under the curve); by step, accuracy, share kept, and speed."""
        correct, kept = means["correct"], means["kept"]
        area = torch.trapezoid(correct, kept) / (kept[-1] - kept[0])
        shown = {"correct": correct, "kept": kept}
        if self.timed:
            shown["speed"] = means["seconds"][0] / means["seconds"]
        return {"area": area} | {
            f"{name} {step}": values[at] for name, values in shown.items() for at, step in enumerate(self.steps)
        }


def clock(device: torch.device) -> float:
    """Seconds, when all that was asked of the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter()


def hits(logits: Tensor, labels: Tensor) -> Bool[Tensor, " batch"]:
    """Which pictures are classified as their label says."""
    return logits.argmax(1) == labels


def draw_line(cells: Sequence[Cell], xs: Sequence[float]) -> Line:
    """Cells as the points of a line."""
    return Line(xs, [each.value for each in cells], [each.low for each in cells], [each.high for each in cells])
