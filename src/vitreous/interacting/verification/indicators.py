"""Which indicator foretells what cutting an interaction does (our own): rank correlations with exact interventions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from vitreous.errors import ShapeError
from vitreous.interact.indicator import Averages
from vitreous.interact.intervene import quality
from vitreous.interacting.verification.check import Check, Findings, LabelledBatch, Measured, draw_line
from vitreous.render.numbers import block_name, check_block
from vitreous.statistics.summary import Values, summarize
from vitreous.trace.blocks import find_blocks

__all__ = ["Indicators", "Means"]


@dataclass(frozen=True)
class Indicators(Check):
    """Spearman's correlation of each indicator with |p - p'| over random pairs of patches, by block.

    Attributes:
        blocks: whose interactions are cut, from 0; empty for all but the last, after which a class-token model reads no
            patch.
        pairs: how many are cut, per picture and block.
    """

    name: ClassVar[str] = "indicators"
    blocks: tuple[int, ...] = ()
    pairs: int = 64

    def __post_init__(self) -> None:
        """Refuse what ranks nothing."""
        if self.pairs < 3:
            raise ShapeError(f"`pairs` must be at least 3; got {self.pairs}. Cut more pairs.")

    def measure(self, model: nn.Module, batch: LabelledBatch, averages: Averages | None) -> Measured:
        """By indicator, its correlation in each block, and the mean over blocks."""
        depth = len(find_blocks(model, batch.images))
        blocks = self.blocks or tuple(range(depth - 1))
        for block in blocks:
            check_block(block, depth)
        images = [
            [quality(model, image[None], block, pairs=self.pairs, seed=seed) for block in blocks]
            for image, seed in zip(batch.images, batch.seeds, strict=True)
        ]
        measured: dict[str, dict[str, Tensor]] = {}
        for indicator in images[0][0]:
            found = torch.tensor([[block[indicator].item() for block in image] for image in images])
            named = dict(zip((f"block {block}" for block in blocks), found.unbind(1), strict=True))
            measured[indicator] = {"all": found.mean(1), **named}
        return measured

    def report(self, model: str, found: Mapping[str, Values], resamples: int, seed: int) -> Findings:
        """Means over pictures, every indicator against strength."""
        names = tuple(next(iter(found.values())).numbers)
        blocks = [name for name in names if name != "all"]
        cells = summarize(model, self.name, Means(names), found, reference="strength", resamples=resamples, seed=seed)
        at = {(cell.method, cell.name): cell for cell in cells}
        places = [int(name.removeprefix("block ")) for name in blocks]
        lines = {row: draw_line([at[row, name] for name in blocks], [place + 1.0 for place in places]) for row in found}
        shown = dict(zip(blocks, map(block_name, places), strict=True))
        axes = ("block", "Spearman's correlation with |p - p'|")
        return Findings(cells, "strength", {"mean over pictures": lines}, axes, _NOTES, shown)


_NOTES = (
    "Each value is a picture's rank correlation between an indicator and what cutting one interaction, in all heads of "
    "the block, does to the probability of the predicted class, over random pairs of patches. impact takes a backward "
    "pass, the others none.",
    "Run it in float64: single cuts change the probability by about as much as float32 rounds.",
)


@dataclass(frozen=True)
class Means:
    """Values as they are."""

    names: tuple[str, ...]

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Single numbers."""
        return dict.fromkeys(self.names, ())

    def summary(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """Their means."""
        return means
