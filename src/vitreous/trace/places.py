"""Where every token comes from: measured, by moving the picture and watching what goes into an attention.

Noise of the picture's own size is added to it, once evenly, once growing from top to bottom and once from left to
right. A token that stays as it was is no patch. One that moves answers to the second and third noise as much as its
pixels lie down and right, whatever its embedding is: a convolution, a linear map of unfolded pixels, a stem of layers.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.errors import NoGlobalAttention, NoTokenGrid
from vitreous.shapes import Images
from vitreous.trace.chance import check_same, no_chance
from vitreous.trace.changes import aside, changes
from vitreous.trace.covering import TokensOf, check_covers
from vitreous.trace.intercept import Interceptor
from vitreous.trace.observed import TokenGrid, check_same_shape, not_global
from vitreous.trace.output import everything
from vitreous.trace.probe import Positions, Probe, ramp
from vitreous.trace.reading import current_reading
from vitreous.trace.running import run
from vitreous.trace.seen import AttentionSeen
from vitreous.trace.settled import is_scripted, nothing_observed, settled
from vitreous.trace.views import check_views

__all__ = ["SAY", "Reads", "grid_of", "measure_tokens"]

SAY = (
    "Say how they lie by grid=(height, width) and patches=, a slice or list of the tokens that are patches, row by row "
    "(--grid HEIGHT,WIDTH and --patches FIRST:END)."
)
_MOST_DRAWS, _LOUD_DRAWS = 8, 4
"""Overlapping stems need several draws of noise; 16 bits, which may hide a little, then some as loud as a picture."""
_UNSEEN = 0.85
"""So much of a patch may lie between the picture's edge and the patch nearest to it.

Of 12 untrained ViTs and hybrids at most 0.57 (EfficientFormer); 0.94 to 1 of three that drop a row of patches.
"""
Reads = Callable[[int, str], bool]
"""Whether an attention is read, by its place among all that run and the name of the module that runs it."""


def measure_tokens(
    model: nn.Module, images: Tensor, is_read: Reads = lambda _at, _name: True, *, seed: int = 0
) -> TokenGrid:
    """How the tokens lie on the picture that go into the first attention that is read.

    Only the size, the mean and the spread of the first image are used, so that every picture of a size gives the same.
    What `Reading` says of the grid and of the patches is taken as it is, and the rest measured. Where receptive fields
    overlap widely, tokens must at least follow row by row.

    Args:
        model: comes back as it was.
        images: (batch, channels, height, width).
        is_read: which attentions are read.
        seed: of the noise.

    Raises:
        NothingObserved: none is, or none ran.
        NoGlobalAttention: it runs in windows, between channels, from some tokens to others, or in several views of an
            image.
        NoTokenGrid: the tokens that move with the picture do not lie on a grid that covers it; or they are others than
            `Reading` says.
        ObservationError: they are others each time that the model runs on the same picture.

    Cost: eight runs of one image up to the attention's input; up to 18 more where receptive fields overlap, 30 in 16
    bits, and none but the first where `Reading` says all.
    """
    _check_picture(model, images)
    with no_chance(model, images), _watched(model, is_read) as tokens_of:
        try:
            return _measure(tokens_of, model, images, is_read, Probe.of(images, seed))
        except NoGlobalAttention:
            check_views(model, images)
            raise


def _measure(tokens_of: TokensOf, model: nn.Module, images: Tensor, is_read: Reads, probe: Probe) -> TokenGrid:
    how, kind, picture = current_reading(), type(model).__name__, probe.middle + probe.noise()
    given = tokens_of(probe.like(picture))
    before = given.to(torch.promote_types(given.dtype, torch.float32))
    said = None if how.patches is None else _listed(how.patches, len(before))
    if how.grid and said is not None:
        return _as_said(len(before), how.grid, said)
    # a model may go on in a coarser type
    dtype = max(images.dtype, given.dtype, key=lambda each: torch.finfo(each).eps)
    step = probe.step(dtype)
    most = _MOST_DRAWS + (_LOUD_DRAWS if torch.finfo(dtype).bits <= 16 else 0)
    moved, answers = before.new_zeros(len(before)), before.new_zeros(2, len(before))
    earlier = list[TokenGrid | None]()
    for draws in itertools.count(1):
        if draws == _MOST_DRAWS + 1:
            step, moved, answers = 1.0, torch.zeros_like(moved), torch.zeros_like(answers)
        push = step * probe.noise()
        even, *sloped = (tokens_of(probe.like(picture + push * ramp)) - before for ramp in (1.0, *probe.ramps))
        moved += even.square().sum(1)
        answers += torch.stack([(even * each).sum(1) for each in sloped])
        patches = moved.nonzero()[:, 0].cpu() if said is None else torch.tensor(said)
        if how.grid:
            return _as_said(len(before), how.grid, patches.tolist())
        places = (answers / moved).cpu()[:, patches]
        found = grid_of(places[0], places[1])
        tokens = found and TokenGrid.of(len(before), found[0], patches[found[1]].tolist())
        if tokens is None and draws in (_MOST_DRAWS, most) and (grid := _in_rows(places[0], places[1])):
            tokens = TokenGrid.of(len(before), grid, patches.tolist())
        elif draws < most and (tokens is None or tokens not in earlier):  # of few, one draw may show one by chance
            earlier.append(tokens)
            continue
        again = tokens_of(probe.like(picture))
        check_same(before, again, dtype, kind)
        if tokens is None:
            raise _not_laid_out(model, images, is_read, len(before), len(patches))
        check_covers(tokens_of, probe, step, tokens, picture=probe.like(picture), before=again, model=kind)
        return tokens
    raise AssertionError


def _check_picture(model: nn.Module, images: Tensor) -> None:
    if images.ndim != 4:
        raise NoTokenGrid(
            f"`{type(model).__name__}` took an input of {images.ndim} axes, {tuple(images.shape)}, which is no batch "
            "of pictures, (batch, channels, height, width), and a heat map lies on a picture. Wrap the model in a "
            "module that takes pictures, such as one frame or slice with the others fixed."
        )


def _listed(patches: slice | Sequence[int], tokens: int) -> list[int]:
    """The places that are said to be patches, counted from the first token.

    Raises:
        NoTokenGrid: they are not among the tokens, or some are said twice.
    """
    if isinstance(patches, slice):
        patches = range(tokens)[patches]
    found = [at + tokens if at < 0 else at for at in patches]
    if not found or len(set(found)) != len(found) or not all(0 <= at < tokens for at in found):
        raise NoTokenGrid(
            f"`patches` must name some of {tokens} tokens, each once; got {', '.join(map(str, patches)) or 'none'}. "
            f"Count from 0 to {tokens - 1}."
        )
    return found


def _as_said(tokens: int, grid: tuple[int, int], patches: Sequence[int]) -> TokenGrid:
    """The grid that `Reading` says.

    Raises:
        NoTokenGrid: it does not have as many cells as there are patches.
    """
    if grid[0] * grid[1] != len(patches):
        raise NoTokenGrid(
            f"a {grid[0]}×{grid[1]} grid has {grid[0] * grid[1]} cells, but {len(patches)} of {tokens} tokens are "
            "patches. Give another grid= (--grid), or patches= (--patches), a slice or list of as many, row by row."
        )
    return TokenGrid.of(tokens, grid, patches)


def grid_of(down: Positions, right: Positions) -> tuple[tuple[int, int], Tensor] | None:
    """The (height, width) of the grid that these places fill, and which of them lies in each cell, row by row.

    None where they fill none that covers the picture: rows and columns must be told apart clearly.

    >>> grid_of(torch.tensor([0.5, -0.5, 0.5, -0.5]), torch.tensor([-0.6, -0.5, 0.5, 0.5]))
    ((2, 2), tensor([1, 3, 0, 2]))
    """
    tokens, found = len(down), list[tuple[float, tuple[int, int], Tensor]]()
    for height in (side for side in range(1, tokens + 1) if tokens % side == 0):
        width = tokens // height
        rows, columns = _ranks(down, height), _ranks(right, width)
        if rows is not None and columns is not None:
            cells = rows * width + columns
            if len(cells.unique()) == tokens:
                away = (down - ramp(height)[rows]).abs().mean() + (right - ramp(width)[columns]).abs().mean()
                found.append((away.item(), (height, width), cells.argsort()))
    # few tokens may be told apart on more than one grid: the one whose cells they lie in the middle of
    return min(found, key=lambda each: each[0])[1:] if found else None


def _in_rows(down: Positions, right: Positions) -> tuple[int, int] | None:
    """The (height, width) of a grid that tokens with these places fill row by row, as far as overlaps show it.

    Each line's tokens lie before all of the next one's. Of 960 untrained stems in float32 and bfloat16, from 2×2 to
    14×14 cells, 31 cover the picture and are told apart no further: 19 of them stand so. Of the same tokens with two
    neighbors, rows or columns in each other's place, 158 in all, none does; 102 are alike by a correlation of 0.95.
    """
    for height in (side for side in range(2, len(down) // 2 + 1) if len(down) % side == 0):
        lines = down.view(height, -1), right.view(height, -1).T
        middles = [each.mean(1) for each in lines]
        apart = all(bool((each[1:].amin(1) > each[:-1].amax(1)).all()) for each in lines)
        if apart and all(_covers(each, each.diff().mean()) for each in middles):
            return height, len(middles[1])
    return None


def _covers(middles: Positions, apart: Tensor) -> bool:
    """Whether lines that are so far apart reach from one edge of the picture to the other."""
    edge = apart * (_UNSEEN + 0.5)
    return len(middles) * apart.item() > 1 and bool(middles[0] < edge - 1 and middles[-1] > 1 - edge)


def _ranks(places: Positions, groups: int) -> Tensor | None:
    """Which of so many lines, as long as each other, every place lies on; None where they are no such lines."""
    order = places.argsort()
    lines = places[order].view(groups, -1)
    middles, steps = lines.mean(1), lines.mean(1).diff()
    apart = (middles[-1] - middles[0]) / (groups - 1) if groups > 1 else torch.tensor(2.0)
    # lines may lie closer near the edges, where receptive fields end, but none lies in another
    clear = (steps > apart / 4).all() and (lines[1:, 0] - lines[:-1, -1] > steps / 3).all()
    narrow = (lines - middles[:, None]).abs().amax() < apart * 3 / 8
    if not (clear and narrow and _covers(middles, apart)):
        return None
    return torch.empty_like(order).scatter(0, order, torch.arange(groups).repeat_interleave(lines.shape[1]))


class _Reached(BaseException):
    """The attention was reached: a signal that never leaves this file, nor is taken for an error of the model."""


@contextmanager
def _watched(model: nn.Module, is_read: Reads) -> Generator[TokensOf]:
    """What tells, of one image, what the first attention that is read multiplies by its weights, one row per token."""
    kind, first = type(model).__name__, list[Tensor]()

    def tokens_of(image: Tensor) -> Tensor:
        at, found = itertools.count(), list[AttentionSeen]()

        def attend(seen: AttentionSeen) -> None:
            if is_read(next(at), seen.name):
                found.append(seen)
                raise _Reached

        with changes() as change:
            change.enter(Interceptor(attend, running=running))
            change.start_pass()
            try:
                output = run(model, image.clone())
            except _Reached:
                rows = _rows(found[0], kind)
                first[:] = first or [rows]
                check_same_shape(first[0], rows, f"what attends in `{kind}`")
                return rows
        _ = everything(output)
        raise nothing_observed(kind, current_reading().part, is_scripted=is_scripted(model))

    with aside(), settled(model) as change:
        change.gradients(False)
        running = change.running(model)
        yield tokens_of


def _rows(seen: AttentionSeen, model: str) -> Float[Tensor, "tokens numbers"]:
    """An attention's values, token by token, in its own type."""
    values, tokens, how = seen.attention.value, seen.sizes[-1], current_reading()
    if tokens is None or (values is not None and (values.ndim != 4 or len(values) != 1)):
        raise not_global(model)
    if values is None and how.grid and how.patches is not None:
        return torch.zeros(tokens, 1)
    if values is None:
        raise NoTokenGrid(
            f"`{model}` lays out what its attention weights multiply in a way that does not show which axis is tokens. "
            f"{SAY}"
        )
    return values[0].transpose(0, 1).flatten(1)


def _not_laid_out(
    model: nn.Module, images: Images, is_read: Reads, tokens: int, moving: int
) -> NoGlobalAttention | NoTokenGrid:
    """Why tokens lie on no grid: they may be channels, which only the layer after the attention shows."""
    at, read = itertools.count(), list[int]()

    def attend(seen: AttentionSeen) -> None:
        if is_read(now := next(at), seen.name):
            read.append(now)

    with aside(), settled(model) as change:
        change.gradients(True)  # of quantized layers, whose steps hide places, it tells
        interceptor = Interceptor(attend, running=change.running(model))
        change.enter(interceptor)
        change.start_pass()
        run(model, images[:1].detach().clone().requires_grad_().clone())
    kind = type(model).__name__
    if not moving:
        return NoTokenGrid(
            f"none of the {tokens} tokens that attend in `{kind}` moves with the picture: that encoder sees something "
            "else. Read another part= or call= of the model (--part, --call)."
        )
    if interceptor.sizes[read[0]] != tokens:
        return not_global(kind)
    return NoTokenGrid(
        f"{moving} of the {tokens} tokens that attend in `{kind}` move with the picture, and they lie on no grid that "
        f"covers it. {SAY} Where they lie on none, use a method that only runs the model, such as `rise`."
    )
