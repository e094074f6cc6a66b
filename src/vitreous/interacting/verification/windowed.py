"""Verification 1: attention inside windows.

The abstract verifies the indicator so; how is our own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.errors import NoClassScores, ShapeError, UnknownName
from vitreous.interact.attention_windows import (
    adaptive_windows,
    bounding_windows,
    coverage,
    fixed_windows,
    random_windows,
    rectangles,
)
from vitreous.interact.indicator import Averages, Pairs, interactions
from vitreous.interact.responsive_fields import Fields, responsive_fields
from vitreous.interacting.verification.check import (
    AccuracyCurve,
    Check,
    Findings,
    LabelledBatch,
    Measured,
    draw_line,
    hits,
)
from vitreous.render.charts import Line
from vitreous.statistics.summary import Cell, Values, summarize
from vitreous.trace.observed import TokenGrid
from vitreous.trace.restrict import restricted_logits

__all__ = ["Windows"]

_KINDS = ("adaptive", "bounding", "field")
_SOURCES = ("per image", "static")
_NONE = float("nan")


@dataclass(frozen=True)
class Windows(Check):
    """Accuracy of the frozen model inside windows of several kinds and densities.

    Every curve runs from each patch seeing itself (and the extra tokens) alone to all patches seeing all.

    Attributes:
        indicator: what windows and fields are made of: "strength", "certainty" or "uncertainty".
        radii: of the fixed windows, in patches.
        adaptive: shares of the indicator that adaptive windows hold.
        bounding: thresholds of the bounding boxes, where a query's mean indicator is 1; falling.
        field: shares of the indicator that responsive fields hold.
        coverage: share of the attention that r_l, the least radius that holds it in block l, is told for.
    """

    name: ClassVar[str] = "windows"
    needs_averages: ClassVar[bool] = True
    indicator: str = "strength"
    radii: tuple[int, ...] = (1, 2, 3, 5)
    adaptive: tuple[float, ...] = (0.3, 0.5, 0.7, 0.9)
    bounding: tuple[float, ...] = (4.0, 3.0, 2.0, 1.5)
    field: tuple[float, ...] = (0.3, 0.5, 0.7, 0.9)
    coverage: float = 0.8

    def __post_init__(self) -> None:
        if self.indicator not in (known := ("strength", "certainty", "uncertainty")):
            raise UnknownName("indicator", self.indicator, known)
        if len({len(self.radii), len(self.adaptive), len(self.bounding), len(self.field)}) > 1:
            raise ShapeError("windows of one kind have more sizes than those of another. Give as many of each.")

    def measure(self, model: nn.Module, batch: LabelledBatch, averages: Averages | None) -> Measured:
        """By kind of window, which pictures stay right at each size, and the density of the windows."""
        if averages is None:
            raise ShapeError("static windows need averages over a calibration set. Give some.")
        seen = interactions(model, batch.images)
        tokens, logits = seen.tokens, seen.logits
        if logits is None:
            raise NoClassScores(f"`{type(model).__name__}` has no classifier that could be right. Give one that has.")

        def right(masks: Tensor) -> Tensor:
            restricted = restricted_logits(model, batch.images, dict(enumerate(masks.unbind(1))))
            return hits(restricted, batch.labels).double()

        def curve(sizes: Iterator[Fields]) -> dict[str, Tensor]:
            found = [(right(masks), masks.double().mean((1, 2, 3)).expand(len(batch.labels))) for masks in sizes]
            ends = [alone, *found, (whole, torch.ones_like(whole))]
            return {"correct": torch.stack([each for each, _ in ends], 1), "kept": torch.stack([d for _, d in ends], 1)}

        blocks = seen.strength.shape[1]
        itself = fixed_windows(tokens, 0).expand(1, blocks, -1, -1)
        whole = hits(logits, batch.labels).double()
        alone = right(itself), itself.double().mean((1, 2, 3)).expand(len(batch.labels))
        measured = {"fixed": curve(fixed_windows(tokens, r).expand(1, blocks, -1, -1) for r in self.radii)}
        made_of: dict[str, Pairs] = {
            "per image": getattr(seen, self.indicator),
            "static": getattr(averages, self.indicator)[None],
        }
        for source, raw in made_of.items():
            pairs = raw / raw.mean(-1, keepdim=True)
            seeds = batch.seeds if source == "per image" else [0]
            for kind in _KINDS:
                sizes = [self._made(kind, pairs, tokens, size) for size in getattr(self, kind)]
                measured[f"{kind}, {source}"] = curve(iter(sizes))
                measured[f"random as {kind}, {source}"] = curve(_as_many(masks, tokens, seeds) for masks in sizes)
        held = coverage(seen.strength, tokens)
        measured["coverage"] = {f"block {at}": each for at, each in enumerate(held.unbind(1))}
        return measured

    @staticmethod
    def _made(kind: str, pairs: Pairs, tokens: TokenGrid, size: float) -> Fields:
        if kind == "field":
            return responsive_fields(pairs, tokens, size)
        windows = adaptive_windows if kind == "adaptive" else bounding_windows
        return rectangles(windows(pairs, tokens, size), tokens)

    def report(self, model: str, found: Mapping[str, Values], resamples: int, seed: int) -> Findings:
        """The area of each kind against that of fixed windows, and each size against as many random keys."""
        steps = ("self", *(f"size {at}" for at in range(1, len(self.radii) + 1)), "all")
        curves = {row: values for row, values in found.items() if row != "coverage"}

        def told(rows: Mapping[str, Values], reference: str) -> dict[tuple[str, str], Cell]:
            cells = summarize(
                model, self.name, AccuracyCurve(steps), rows, reference=reference, resamples=resamples, seed=seed
            )
            return {(cell.method, cell.name): cell for cell in cells}

        cells = told(curves, "fixed")
        for (row, name), cell in list(cells.items()):
            if name != "area":  # at a size, windows are compared with random ones of their own density alone
                cells[row, name] = replace(cell, difference=_NONE, difference_low=_NONE, difference_high=_NONE, p=_NONE)
        for row in curves.keys() & {row.removeprefix("random as ") for row in curves if row.startswith("random as ")}:
            against = told({name: curves[name] for name in (f"random as {row}", row)}, f"random as {row}")
            cells |= {(row, f"correct {step}"): against[row, f"correct {step}"] for step in steps[1:-1]}
        return Findings(
            [_named(cell) for cell in cells.values() if cell.name not in ("kept self", "kept all")],
            "fixed windows in area, and at a size from as many random keys,",
            {source: _lines(cells, curves, source, steps) for source in _SOURCES},
            ("density: share of the keys that a query sees", "top-1"),
            [*_NOTES, *self._radii(found["coverage"])],
        )

    def _radii(self, held: Values) -> Iterator[str]:
        """The table r_l: which blocks are local."""
        # people count from 1
        numbers = {int(block.removeprefix("block ")) + 1: each for block, each in held.numbers.items()}
        means = {block: np.average(each, 0, held.counted) for block, each in numbers.items()}
        radii = {block: int(np.argmax(mean >= self.coverage - 1e-6)) for block, mean in means.items()}
        least = ", ".join(f"{block}: {radius}" for block, radius in radii.items())
        yield f"Least radius that holds {self.coverage:.0%} of the attention between patches, by block: {least}."
        share = ", ".join(f"{block}: {mean[1]:.0%}" for block, mean in means.items())
        yield f"Share of the attention within radius 1, by block: {share}."


_NOTES = (
    "The model is frozen: attention is renormalized over the keys that are left, which over-weights the strongest, so "
    "these curves alone do not say which windows are better to train with.",
    "area is the mean accuracy over density, from every patch seeing itself alone to all seeing all; sizes of "
    "different rows have different densities, given beside. Random windows keep as many keys of each query as the "
    "row that they are named after. Static windows come from averages over a calibration set.",
)


def _as_many(masks: Fields, tokens: TokenGrid, seeds: Sequence[int]) -> Fields:
    """Random windows with as many keys for each query."""
    density = masks.double().mean(-1)
    drawn = [random_windows(each, tokens, seed) for each, seed in zip(density, seeds, strict=True)]
    return torch.stack(drawn).to(masks.device)


def _named(cell: Cell) -> Cell:
    kind, _, step = cell.name.partition(" ")
    return replace(cell, name=f"density, {step}" if kind == "kept" else step or kind)


def _lines(
    cells: Mapping[tuple[str, str], Cell], rows: Mapping[str, Values], source: str, steps: tuple[str, ...]
) -> dict[str, Line]:
    return {
        row.removesuffix(f", {source}"): draw_line(
            [cells[row, f"correct {step}"] for step in steps], [cells[row, f"kept {step}"].value for step in steps]
        )
        for row in rows
        if row == "fixed" or row.endswith(source)
    }
