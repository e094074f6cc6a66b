"""What the baselines share. They ask the model for nothing but its class scores and its grid."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from vitreous.methods.explanation import Explanation
from vitreous.methods.requirements import check_at_least
from vitreous.methods.shared import FromObservation
from vitreous.settings.typed import Cells
from vitreous.shapes import Heatmap, Images, Logits
from vitreous.trace.recorder import record
from vitreous.trace.target import Target

__all__ = ["Baseline", "Look", "look"]

_GRID = (14, 14)


@dataclass(frozen=True)
class Look:
    """What a baseline may know.

    Attributes:
        images: that the model saw.
        logits: its class scores.
        grid: (height, width) of its patches, or 14×14 where it has none.
    """

    images: Images
    logits: Logits
    grid: tuple[int, int]


def look(model: nn.Module, images: Images) -> Look:
    """Run the model once."""
    seen = record(model, images)
    return Look(images.detach(), seen.logits, seen.grid or _GRID)


class Baseline(FromObservation[Look]):
    """A method that asks the model for nothing else; `grid` sets the rows and columns of its map."""

    grid: Cells | None

    @property
    def observation(self) -> Callable[[nn.Module, Images], Look]:
        """`look`."""
        return look

    @abstractmethod
    def heat(self, images: Images, size: tuple[int, int]) -> Heatmap:
        """The map of these rows and columns."""

    def of(self, seen: Look, target: Target) -> Explanation:
        """Explain the pictures, whatever the model made of them."""
        if self.grid is not None:
            check_at_least("grid", self.grid, 2)
        heatmap = self.heat(seen.images, seen.grid if self.grid is None else (self.grid, self.grid))
        return Explanation(heatmap, seen.logits, target(seen.logits).argmax(1), self)
