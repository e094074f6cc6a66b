"""Verification 2: a model without its indiscriminative patches.

The abstract verifies the indicator so; how is our own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from vitreous.errors import ShapeError, UnknownName
from vitreous.interact.indicator import Averages
from vitreous.interact.patch_removal import dropping, movable_blocks, run_pruned
from vitreous.interact.use import SCORES, Score, kept_tokens, random_score, uses
from vitreous.interacting.verification.check import (
    AccuracyCurve,
    Check,
    Findings,
    LabelledBatch,
    Measured,
    clock,
    draw_line,
    hits,
)
from vitreous.render.charts import Line
from vitreous.statistics.summary import Cell, Values, summarize
from vitreous.trace.restrict import restricted_logits
from vitreous.trace.running import run
from vitreous.trace.target import logits_of

__all__ = ["Removal"]

_BLOCKS = re.compile("[1-9][0-9]{0,3}")
"""No model has more blocks than these say, and Python reads no number of any length."""


@dataclass(frozen=True)
class Removal(Check):
    """Accuracy and speed when patches are removed, by several scores and in several places.

    Attributes:
        shares: of the patches.
        places: "input", before the first block, scored by a whole pass; "mask", scored likewise, but the patches stay
            and no other token sees them; or a number of blocks after which they leave in one pass, which these score.
    """

    name: ClassVar[str] = "removal"
    shares: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
    places: tuple[str, ...] = ("input", "2")

    def __post_init__(self) -> None:
        """Refuse what removes nothing, or everything."""
        if not self.shares or not all(
            low < high < 1 for low, high in zip((0, *self.shares), self.shares, strict=False)
        ):
            raise ShapeError(
                f"`shares` must rise from above 0 to below 1; got {', '.join(f'{share:g}' for share in self.shares)}. "
                "Give shares of the patches."
            )
        for place in self.places:
            if place not in ("input", "mask") and not _BLOCKS.fullmatch(place):
                raise UnknownName("place of removal", place, ["input", "mask", "1", "2", "…"])

    def measure(self, model: nn.Module, batch: LabelledBatch, averages: Averages | None) -> Measured:
        """By score and place, which pictures stay right at each share, and the seconds that each takes."""
        images = batch.images
        blocks = movable_blocks(model, images)

        def timed(call: Callable[[], Any]) -> tuple[Tensor, float]:
            start = clock(images.device)
            output = call()
            return logits_of(output, type(model).__name__, len(images)), clock(images.device) - start

        run(model, images.clone())  # caches are warm when the clock starts
        bare = timed(lambda: run(model, images.clone()))
        start = clock(images.device)
        (use,) = uses(model, images, [0])
        scoring = clock(images.device) - start
        scores: dict[str, Score] = {**SCORES, "random": random_score(batch.seeds)}
        if not use.asked.shape[1]:
            del scores["class_attention"]
        patches = use.strength.shape[-1]

        def at(place: str, score: Score, share: float) -> tuple[Tensor, float]:
            if place.isdecimal():
                return timed(lambda: run_pruned(model, images, blocks, after=int(place), score=score, share=share))
            kept = kept_tokens(use, score, share)
            if place == "mask":
                seen = dict.fromkeys(range(len(blocks)), kept[:, None].expand(-1, kept.shape[1], -1))
                logits, seconds = timed(lambda: restricted_logits(model, images, seen))
            else:
                with dropping(model, blocks[0], lambda: kept):
                    logits, seconds = timed(lambda: run(model, images.clone()))
            return logits, scoring + seconds

        measured: dict[str, dict[str, Tensor]] = {}
        for place in self.places:
            for by, score in scores.items():
                runs = [bare, *(at(place, score, share) for share in self.shares)]
                stay = [1.0, *(1 - round(share * patches) / patches for share in self.shares)]
                right = torch.stack([hits(logits, batch.labels) for logits, _ in runs], 1)
                measured[f"{by}, {_where(place)}"] = {
                    "correct": right.double(),
                    "kept": torch.tensor(stay).expand(right.shape),
                    "seconds": torch.tensor([seconds / len(right) for _, seconds in runs]).expand(right.shape),
                }
        return measured

    def report(self, model: str, found: Mapping[str, Values], resamples: int, seed: int) -> Findings:
        """A table of accuracy, one of speed and a panel per place; every score against the random one."""
        shares = (0.0, *self.shares)
        curve = AccuracyCurve(tuple(f"{share:.0%}" for share in shares), timed=True)
        cells: list[Cell] = []
        panels: dict[str, dict[str, Line]] = {}
        for place in map(_where, self.places):
            asked = {by: found[f"{by}, {place}"] for by in (*SCORES, "random") if f"{by}, {place}" in found}
            told = summarize(model, place, curve, asked, reference="random", resamples=resamples, seed=seed)
            split = {
                kind: [cell for cell in told if cell.name.startswith(kind)] for kind in ("area", "correct", "speed")
            }
            cells += [_named(cell, f"top-1, {place}") for cell in told if cell in split["area"] + split["correct"]]
            cells += [_named(cell, f"speed, {place}") for cell in split["speed"] if cell.method == "lowest"]
            panels[place] = {
                by: draw_line([cell for cell in split["correct"] if cell.method == by], shares) for by in asked
            }
        axes = ("share of patches removed", "top-1")
        return Findings(cells, "random removal in the same place", panels, axes, _NOTES)


_NOTES = (
    "lowest removes the patches of lowest discriminativeness D_j first, highest those of highest; received, "
    "class_attention and entropy those of lowest score by these; random differs from picture to picture.",
    "area is the mean accuracy over the shares; columns are shares removed. speed is the bare model's seconds over "
    "those of the pruned one, scoring included, in the same batches.",
)


def _where(place: str) -> str:
    return f"after block {place}" if place.isdecimal() else place


def _named(cell: Cell, metric: str) -> Cell:
    kind, _, step = cell.name.partition(" ")
    return replace(cell, metric=metric, name=step or kind, **({"p": float("nan")} if kind == "speed" else {}))
