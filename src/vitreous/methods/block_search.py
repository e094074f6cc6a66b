"""The search for blocks that a decision depends on: random walks, the most important one, what stays of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vitreous.errors import DegenerateMap
from vitreous.masking.forward import Progress
from vitreous.masking.ties import first_of_largest
from vitreous.masking.walks import components, draw_clocks, edge_weights, joined, neighbors_of, visited, walk
from vitreous.methods.reduct import Level, ThresholdScale, best_walk, survivors, unit_of
from vitreous.shapes import Heatmap, PatchMask

__all__ = ["BlockSearch", "Measure"]

Measure = Callable[[PatchMask, Progress | None], Float[Tensor, " sets"]]
"""The importance of each set of blocks of one image, told how far it is."""
_FEWEST_WALKS = 50


@dataclass(frozen=True)
class BlockSearch:
    """MGRW's algorithm 3 for a batch of images.

    Attributes:
        walks: of each image.
        length: most blocks on a walk.
        directions: 4 or 8 neighbors.
        beta: how much walks keep to like colors.
        seed: of the walks.
        threshold: of a block's loss.
        scale: what losses are divided by.
        sequential: blocks are dropped one after another, those of smaller loss first, and losses measured anew.
    """

    walks: int
    length: int
    directions: int
    beta: float
    seed: int
    threshold: float
    scale: ThresholdScale
    sequential: bool

    def __call__(
        self,
        measures: Sequence[Measure],
        colors: Float[Tensor, "images nodes channels"],
        attention: Heatmap,
        regions: Int[Tensor, "images h w"],
        progress: Progress | None = None,
    ) -> list[Level]:
        """Walk in every region, take the best walk of each connected part, reduce.

        Args:
            measures: of every image.
            colors: of its blocks, row by row.
            attention: the largest of a part is where its walks start.
            regions: a number for each block that walks may enter, -1 elsewhere; no walk leads from one to another.
            progress: told how far it is.

        Raises:
            DegenerateMap: no walk changes an image's score.
        """
        grid = (attention.shape[1], attention.shape[2])
        neighbors = neighbors_of(*grid, self.directions)
        edges = joined(regions.flatten(1).cpu(), neighbors)
        teams = [
            _team(components(row >= 0, torch.where(edge, neighbors, -1)), heat, self.walks)
            for row, edge, heat in zip(regions.flatten(1).cpu(), edges, attention.flatten(1).cpu(), strict=True)
        ]
        sizes = [len(starts) for starts, _ in teams]
        paths = walk(
            neighbors,
            edge_weights(colors, neighbors, self.beta) * edges,
            torch.arange(len(teams)).repeat_interleave(torch.tensor(sizes)),
            torch.cat([starts for starts, _ in teams]),
            torch.cat([draw_clocks(size, self.length - 1, self.directions, self.seed) for size in sizes]),
        ).split(sizes)
        seen = [visited(path, grid) for path in paths]
        distinct = [sets.unique(dim=0, return_inverse=True) for sets in seen]

        levels: list[Level] = []
        done, total = 0, sum(1 + len(sets) for sets, _ in distinct)
        for at, (sets, which) in enumerate(distinct):
            found = measures[at](sets, _later(progress, done, total))[which]
            if not found.any():
                remedy = 'Choose another target, or score="logit"; an untrained head (all zeros) also gives this.'
                raise DegenerateMap("`MGRW` found no walk that changes the score", at, remedy)
            parts = [teams[at][1] == part for part in teams[at][1].unique()]
            best = [best_walk(found, seen[at].sum((1, 2)), part) for part in parts]
            walks = tuple(tuple(paths[at][one][paths[at][one] >= 0].tolist()) for one in best)
            levels.append(self._level(measures[at], seen[at][best].any(0), walks))
            done += 1 + len(sets)
        return levels

    def _level(self, measure: Measure, union: Bool[Tensor, "h w"], walks: tuple[tuple[int, ...], ...]) -> Level:
        """The reduct of the best walks' blocks."""
        blocks = union.flatten().nonzero()[:, 0]
        whole, losses = _losses(measure, union)
        if self.sequential:
            least = self.threshold * unit_of(losses, whole, self.scale)
            losses, kept = _one_by_one(measure, union, whole, losses, least)
        else:
            kept = survivors(losses, whole, self.threshold, self.scale)
        of_all, stay = torch.zeros(union.numel(), dtype=losses.dtype), torch.zeros(union.numel(), dtype=torch.bool)
        of_all[blocks], stay[blocks] = losses, kept
        return Level(walks, whole, of_all.view(union.shape), stay.view(union.shape))


def _losses(measure: Measure, union: Bool[Tensor, "h w"]) -> tuple[float, Float[Tensor, " blocks"]]:
    """What hiding all the blocks does, and how much less it is without each."""
    blocks = union.flatten().nonzero()[:, 0]
    but_one = union.flatten().repeat(len(blocks), 1)
    but_one[torch.arange(len(blocks)), blocks] = False
    found = measure(torch.cat([union[None], but_one.unflatten(1, union.shape)]), None)
    return found[0].item(), found[0] - found[1:]


def _one_by_one(
    measure: Measure, union: Bool[Tensor, "h w"], whole: float, losses: Float[Tensor, " blocks"], least: float
) -> tuple[Float[Tensor, " blocks"], Bool[Tensor, " blocks"]]:
    """Blocks from the smallest loss up, each judged beside those that are still there: its loss then, whether it stays.

    The one of largest loss stays if no other does.
    """
    blocks = union.flatten().nonzero()[:, 0]
    left, kept, then = union.flatten().clone(), torch.ones_like(losses, dtype=torch.bool), losses.clone()
    for at in losses.argsort(stable=True).tolist():
        without = left.clone()
        without[blocks[at]] = False
        rest = measure(without.view(1, *union.shape), None).item()
        then[at] = whole - rest
        kept[at] = then[at] > max(least, 0)
        if not kept[at]:
            left, whole = without, rest
    return then, kept if kept.any() else torch.arange(len(then)) == then.argmax()


def _team(parts: Sequence[Tensor], attention: Float[Tensor, " nodes"], walks: int) -> tuple[Tensor, Tensor]:
    """The start of each walker and the part that it walks in: walkers in proportion to the parts' sizes."""
    sizes = [int(part.sum()) for part in parts]
    counts = torch.tensor([max(min(_FEWEST_WALKS, walks), round(walks * size / sum(sizes))) for size in sizes])
    starts = torch.stack([first_of_largest(attention.masked_fill(~part, -torch.inf)) for part in parts])
    return starts.repeat_interleave(counts), torch.arange(len(parts)).repeat_interleave(counts)


def _later(progress: Progress | None, done: int, total: int) -> Progress | None:
    """Progress of one image, told as that of all."""
    return progress and (lambda new, _: progress(done + new, total))
