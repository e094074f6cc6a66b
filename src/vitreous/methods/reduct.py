"""What a search over blocks leaves beside the heat map: the walks, every block's loss, the blocks that stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image

    from vitreous.render.sheet import Panel

__all__ = ["Level", "Reduct", "ThresholdScale", "best_walk", "survivors", "unit_of"]

ThresholdScale = Literal["max", "absolute", "relative"]
"""What a block's loss is divided by before the threshold: the largest loss, 1, or the importance of all blocks."""
_TIE = 1e-6


@dataclass(frozen=True, eq=False)
class Level:
    """One size of blocks.

    Attributes:
        walks: the most important walk of each connected part, as nodes in order; block (row, column) of a grid is node
            row · width + column.
        importance: I of their blocks together.
        losses: how much less hiding the others does, I(E) - I(E∖i), E what each block was judged among; 0 where no walk
            came by.
        kept: the reduct: the blocks that stay.
    """

    walks: tuple[tuple[int, ...], ...]
    importance: float
    losses: Float[Tensor, "h w"]
    kept: Bool[Tensor, "h w"]

    @property
    def weights(self) -> Float[Tensor, "h w"]:
        """Loss / largest loss where a block stays, 0 elsewhere."""
        largest = self.losses[self.kept].max()
        shares = self.losses / largest if largest > 0 else torch.ones_like(self.losses)
        return torch.where(self.kept, shares, 0)

    def table(self) -> list[dict[str, Any]]:
        """Every block of the walks, most important first: row, column, importance (its loss), kept."""
        width = self.losses.shape[1]
        blocks = sorted({node for nodes in self.walks for node in nodes}, key=lambda at: -self.losses.flatten()[at])
        return [
            {
                "row": at // width,
                "column": at % width,
                "importance": self.losses.flatten()[at].item(),
                "kept": bool(self.kept.flatten()[at]),
            }
            for at in blocks
        ]


@dataclass(frozen=True, eq=False)
class Reduct:
    """Both sizes of blocks of one image; `fine` where a second model was given."""

    coarse: Level
    fine: Level | None = None

    @property
    def finest(self) -> Level:
        """The level that the heat map shows."""
        return self.fine or self.coarse

    @property
    def levels(self) -> dict[str, Level]:
        """By name, coarse first."""
        return {"coarse": self.coarse, **({"fine": self.fine} if self.fine else {})}

    def table(self) -> list[dict[str, Any]]:
        """One row per block: level, row, column, importance, kept."""
        return [{"level": name, **row} for name, level in self.levels.items() for row in level.table()]

    def to_json(self) -> dict[str, Any]:
        """Plain values for a manifest."""
        return {
            name: {
                "grid": list(level.losses.shape),
                "importance": level.importance,
                "walks": level.walks,
                "blocks": level.table(),
            }
            for name, level in self.levels.items()
        }

    def panels(self, picture: Image) -> Sequence[Panel]:
        """The walks and the blocks that stay, on the picture; then the table."""
        from vitreous.render.blocks import draw_blocks, draw_table, draw_walks
        from vitreous.render.sheet import Panel

        found: list[Panel] = []
        for name, level in self.levels.items():
            grid = (level.losses.shape[0], level.losses.shape[1])
            found += [
                Panel(f"{name} walk", draw_walks(picture, grid, level.walks), f"importance {level.importance:.3g}"),
                Panel(f"{name} blocks", draw_blocks(picture, level.weights), f"{int(level.kept.sum())} stay"),
            ]
        rows = [
            (f"{row['level']} ({row['row']}, {row['column']})", f"{row['importance']:.4f}")
            for row in self.table()
            if row["kept"]
        ]
        return [*found, Panel("importance of the blocks", draw_table(rows, picture.size))]


def best_walk(importances: Float[Tensor, " walks"], sizes: Int[Tensor, " walks"], among: Bool[Tensor, " walks"]) -> int:
    """The walk of largest importance; of those within a millionth of it the one with the fewest blocks, then the first.

    >>> best_walk(torch.tensor([0.5, 0.9, 0.9]), torch.tensor([1, 4, 3]), torch.tensor([True, True, True]))
    2
    """
    highest = importances[among].max()
    near = among & (importances >= highest * (1 - _TIE))
    return int(torch.where(near, sizes, sizes.max() + 1).argmin())


def survivors(
    losses: Float[Tensor, " blocks"], whole: float, threshold: float, scale: ThresholdScale = "max"
) -> Bool[Tensor, " blocks"]:
    """Their eq. 12: the blocks whose loss is above the threshold; the one of largest loss if there is none.

    >>> survivors(torch.tensor([0.1, 0.02, 0.05]), 0.6, threshold=0.3)
    tensor([ True, False,  True])
    """
    kept = (losses > threshold * unit_of(losses, whole, scale)) & (losses > 0)
    return kept if kept.any() else torch.arange(len(losses)) == losses.argmax()


def unit_of(losses: Float[Tensor, " blocks"], whole: float, scale: ThresholdScale) -> float:
    """What losses are divided by before they meet a threshold.

    >>> unit_of(torch.tensor([0.25, 0.5]), 0.75, "max")
    0.5
    """
    return {"max": losses.max().item(), "absolute": 1.0, "relative": whole}[scale]
