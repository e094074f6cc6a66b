"""Whether the patches share out the picture: a model that crops or pads it by itself sees another than is shown.

A map is laid on the whole picture, so the cells of the grid must be the patches. Noise is laid on the inside of every
other cell, as on the black squares of a chess board, and then of the others: where patches are cells, no other token
moves. Where any does (a stem whose receptive fields overlap, patches that are smaller or larger than cells), two
gradients, of Σ⟨r, token⟩ and of Σ index·⟨r, token⟩, tell for every row and column of pixels which patches they reach.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.errors import ObservationError, Uncovered
from vitreous.shapes import Images
from vitreous.trace.gradient import gradients
from vitreous.trace.observed import TokenGrid
from vitreous.trace.probe import Positions, Probe, ramp

__all__ = ["Along", "TokensOf", "check_covers", "reached_along"]

TokensOf = Callable[[Images], Float[Tensor, "tokens numbers"]]

_INSIDE = 0.75
"""Share of a cell's side that lies inside: patches may begin so near to their cells' edges as is left."""
_ENOUGH = 4
"""Rows and columns of a grid whose inner edges show how large its patches are."""
_OFF = 0.49
"""Of a patch, half of it but for rounding: farther from the picture's edge, a cell shows more of its neighbor.

So far a map may be moved at most. Measured by models that crop, pad or move a picture of 32 pixels by themselves, at
one side or at all: what is taken are 1 of 4 pixels, 3 of 8 and 7 of 16. Less is not refused, as most ViTs leave out the
pixels at the right and at the bottom that fill no patch. Where receptive fields reach over more than a patch to each
side, padding is not told at all.
"""
_UNMOVED = 1e-6
"""Of what a patch moves by, rounding."""
_SAMPLES = 1024
"""Rows, or columns, of pixels that each mean is taken over at least: pictures differ little from patch to patch."""
_SPREAD = 1.0
"""In patches: what reaches more, to each side, tells no edge between two."""
_FEW = 0.2
"""Of the spread of what reaches all patches alike: likewise, of up to `_ENOUGH` patches.

Measured of 2 to 4 patches: 0.08 and less of ViTs on patches or on convolutions, as they are or cropped, padded or
zoomed on purpose; 0.35 to 0.76 of ConViT, whose first attention mixes neighbors; 0.91 and more of a ResNet under a ViT.
"""
_BLURRED = 0.25
"""Of the pixels: of fewer than `_ENOUGH` patches, where more reach several, edges do not show how large patches are.

Measured of 2 and 3 patches: 0.21 and less of such ViTs; 0.43 and more of two patches of convolutions that overlap.
"""


def check_covers(
    tokens_of: TokensOf, probe: Probe, step: float, tokens: TokenGrid, *, picture: Images, before: Tensor, model: str
) -> None:
    """Refuse patches that half a patch or more of the picture's pixels do not reach, or that lie as far beyond it.

    Args:
        tokens_of: what the first attention that is read takes for its values.
        probe: of the picture.
        step: how much of its noise moves the tokens clearly, and evenly.
        tokens: the grid that was found.
        picture: a model's input, of noise.
        before: its tokens.
        model: its name, for messages.

    Raises:
        Uncovered: there are such, or they cannot be told.

    Cost: two runs of one image up to the attention; of a small grid, or where receptive fields overlap, another one and
        three backward passes through it; of a small picture, up to 1024 pixels in all, more of these.
    """
    own = _keeps_to_cells(tokens_of, probe, step, tokens, picture=picture, before=before)
    if own and min(tokens.height, tokens.width) >= _ENOUGH:
        return
    try:
        sides = _reach(tokens_of, probe, picture, tokens, model)
    except ObservationError:
        sides = None
    if sides is None:
        if own:
            return
        raise Uncovered(
            f"the {tokens.height}×{tokens.width} patches of `{model}` are no shares of the picture, and how far they "
            f"reach cannot be told where no gradient flows back to it. {_say(tokens)}"
        )
    for (side, along), count in zip(sides, (tokens.height, tokens.width), strict=True):
        if (patch := along.patch(count)) is None:
            continue
        missed, beyond = max(along.first, along.length - along.last), count * patch - along.length
        if missed >= _OFF * patch or abs(beyond) >= _OFF * patch:
            what = f"leave out {along.first} pixels at its {side[0]} and {along.length - along.last} at its {side[1]}"
            if missed < _OFF * patch:
                what = f"are {patch:.3g} pixels {side[2]} each, {count * patch:.3g} of its {along.length} in all"
            raise Uncovered(
                f"the {tokens.height}×{tokens.width} patches of `{model}` do not share out the picture: they {what}, "
                "as where a model crops or pads it by itself, so a map would be moved. Explain the model inside, given "
                f"the picture as it is cropped or padded. {_say(tokens)}"
            )


def _say(tokens: TokenGrid) -> str:
    grid = tokens.height, tokens.width
    return f"Say grid={grid} (--grid {grid[0]},{grid[1]}) to have a map laid on the whole picture all the same."


def _keeps_to_cells(
    tokens_of: TokensOf, probe: Probe, step: float, tokens: TokenGrid, *, picture: Images, before: Tensor
) -> bool:
    """Whether what lies inside of a cell moves its own token alone."""
    push = step * probe.noise()
    (rows, down), (columns, right) = (_cells(*each) for each in zip(picture.shape[-2:], _grid(tokens), strict=True))
    for color in range(2):
        cells = (rows[:, None] + columns) % 2 == color
        inside = (cells & down[:, None] & right).to(push)
        moved = (_values(tokens_of, probe.like(picture + push * inside)) - before).square().sum(1).cpu()
        lit = (torch.arange(tokens.height)[:, None] + torch.arange(tokens.width)) % 2 == color
        moved = tokens.unflatten(tokens.of_patches(moved)[None])[0]
        if lit.all() or not lit.any():
            continue
        if moved[~lit].max() > _UNMOVED * moved[lit].median():
            return False
    return True


def _grid(tokens: TokenGrid) -> tuple[int, int]:
    return tokens.height, tokens.width


def _values(tokens_of: TokensOf, picture: Images) -> Tensor:
    return tokens_of(picture).double()


def _cells(length: int, cells: int) -> tuple[Tensor, Tensor]:
    """Of so many pixels, the cell that each lies in, and whether its middle lies inside."""
    at = (ramp(length).double() + 1) / 2 * cells
    return at.long(), (at - at.floor() - 0.5).abs() < _INSIDE / 2


@dataclass(frozen=True)
class Along:
    """Which patches the pixels reach along one side of the picture.

    Attributes:
        length: pixels.
        first: the first that reaches any.
        last: the one after the last that does.
        gap: how many of those between, side by side, reach none: of strides that skip pixels.
        means: of those between, the mean place of the patches that each reaches, from 0; or that its neighbors reach.
        spread: how many patches to each side of the mean a pixel reaches, in the middle.
    """

    length: int
    first: int
    last: int
    gap: int
    means: Positions
    spread: float

    def fit(self, cells: int) -> tuple[float, float]:
        """Of so many cells along the side, how far their middle lies from the picture's, and how many share it out.

        The first in cells, the second as a share of them: 0 and 1 where the cells are shares of the picture. The middle
        is that of the picture's inner half, as its edges draw the means of what reaches far inwards.
        """
        places = (torch.arange(self.first, self.last) + 0.5).to(self.means) * cells / self.length
        off, inner = self.means + 0.5 - places, slice(len(places) // 4, -(len(places) // 4) or None)
        around = places - places.mean()
        return off[inner].mean().item(), 1 + ((off * around).sum() / around.square().sum()).nan_to_num().item()

    def patch(self, count: int) -> float | None:
        """How many pixels a patch has, of so many in a row; None where no edges between patches can be told."""
        blurred = ((self.means - self.means.round()).abs() > 0.1).double().mean()
        most = _SPREAD if count > _ENOUGH else _FEW * ((count**2 - 1) / 12) ** 0.5
        if count < 2 or self.spread > most or (count < _ENOUGH and blurred > _BLURRED):
            return (self.last - self.first) / count
        # every pixel counts as what of it lies before the edge between two patches
        edges = [self.first + (at - self.means).clamp(0, 1).sum().item() for at in range(1, count)]
        if count > 2:
            return (edges[-1] - edges[0]) / (count - 2)
        # of two patches that are wholly there, each ends where the pixels do
        return max(edges[0] - self.first, self.last - edges[0])


def _reach(
    tokens_of: TokensOf, probe: Probe, picture: Images, tokens: TokenGrid, model: str
) -> list[tuple[tuple[str, str, str], Along]] | None:
    """Along both sides of the picture, which patches its pixels reach; None where no gradient gets there."""
    with torch.enable_grad():
        leaf = picture.detach().clone().requires_grad_()
        values = tokens_of(leaf.clone())
    generator = torch.Generator().manual_seed(0)
    at = torch.arange(tokens.patches)
    codes = [
        tokens.among_tokens(code.to(values), 0, extra=0)[:, None]
        for code in (torch.ones(tokens.patches), at // tokens.width, at % tokens.width)
    ]
    found = list[list[Tensor]]()
    while len(found) * min(picture.shape[-2:]) < _SAMPLES:
        chance = torch.randn(values.shape, generator=generator).to(values)
        found.append([gradients(values, chance * code, [leaf], model)[0].double() for code in codes])
        if not found[0][0].any():
            return None
    even, *indexed = (torch.cat(each) for each in zip(*found, strict=True))
    names = ("top", "bottom", "high"), ("left", "right", "wide")
    return [
        (name, reached_along(even.transpose(-1, axis), each.transpose(-1, axis)))
        for name, each, axis in zip(names, indexed, (-2, -1), strict=True)
    ]


def reached_along(even: Tensor, indexed: Tensor) -> Along:
    """Along the last axis of gradients of Σ⟨r, token⟩ and Σ index·⟨r, token⟩, for some r."""
    across = tuple(range(even.ndim - 1))
    strength = even.square().sum(across)
    reached = (strength > _UNMOVED * strength.max()).nonzero()[:, 0]
    first, last = int(reached[0]), int(reached[-1]) + 1
    means = (even * indexed).sum(across)[reached] / strength[reached]
    around = (indexed.square().sum(across)[reached] / strength[reached] - means.square()).clamp_min(0)
    between = np.interp(np.arange(first, last), reached.cpu().numpy(), means.cpu().numpy())
    gap = int(reached.diff().max()) - 1 if len(reached) > 1 else 0
    return Along(even.shape[-1], first, last, gap, torch.from_numpy(between), around.median().sqrt().item())
