"""How alike what two blocks, or two models, make of the same patches is: `cka(model, pictures)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.data.depth import Window
from vitreous.errors import ShapeError
from vitreous.explaining.explain import Preparation, inputs_of
from vitreous.models.zoo import LoadedModel, describe
from vitreous.settings.arguments import checked
from vitreous.settings.typed import Count
from vitreous.trace.blocks import block_tokens, find_blocks
from vitreous.trace.reading import Said, reading

if TYPE_CHECKING:
    from vitreous.explaining.explain import Picture
    from vitreous.render.view import View

__all__ = ["Kinship", "cka", "linear_cka"]

Rows = Float[Tensor, "rows channels"]
_FEWEST = 4
"""Rows of which the estimate is defined."""


@dataclass(frozen=True, repr=False)
class Kinship:
    """How alike the patch tokens after each block of a model are to those of another, or of the same.

    Attributes:
        values: linear CKA, 1 for the same up to rotation, shift and scale; around 0 for what has nothing in common,
            and a little below it by chance, as an estimate without bias must.
        blocks: dotted names of the blocks of the model, in order.
        others: likewise of the other, or the same ones.
        rows: patches of all pictures together, on which it was estimated.
    """

    values: Float[Tensor, "blocks others"]
    blocks: tuple[str, ...]
    others: tuple[str, ...]
    rows: int


def linear_cka(one: Rows, other: Rows) -> Float[Tensor, ""]:
    """HSIC(X, Y) / √(HSIC(X, X)·HSIC(Y, Y)) of linear kernels, each HSIC estimated without bias.

    Of centered rows, HSIC·n(n−3) = ‖XᵀY‖² − n/(n−2)·Σᵢ‖xᵢ‖²‖yᵢ‖² + Σᵢ‖xᵢ‖²·Σᵢ‖yᵢ‖² / ((n−1)(n−2)): the estimate of
    Song et al. (JMLR 2012) without a matrix of rows × rows. NaN where all rows of one are the same.
    """
    one, other = (each.double() - each.double().mean(0) for each in (one, other))
    return _hsic(one, other) / (_hsic(one, one) * _hsic(other, other)).sqrt()


def _hsic(one: Rows, other: Rows) -> Float[Tensor, ""]:
    n, here, there = len(one), one.square().sum(1), other.square().sum(1)
    common = (one.mT @ other).square().sum()
    return common - n / (n - 2) * (here @ there) + here.sum() * there.sum() / ((n - 1) * (n - 2))


@checked("model", "images", "other", "preprocess")
def cka(
    model: nn.Module | LoadedModel,
    images: Tensor | Picture | Sequence[Picture],
    other: nn.Module | LoadedModel | None = None,
    *,
    batch_size: Count = 8,
    preprocess: Preparation | None = None,
    pixel_window: Window = None,
    **how: Unpack[Said],
) -> Kinship:
    """Compare what blocks make of the same patches, by linear CKA: of one model, or of two.

    Centered kernel alignment (Kornblith et al., ICML 2019) with the unbiased estimate of Nguyen et al. (ICLR 2021), as
    Raghu et al. (NeurIPS 2021) compare Vision Transformers with; a row is a patch of a picture. The plain estimate
    nears 1 for anything where there are few rows for the width; this one does not, so a value may lie below 0.

    Args:
        model: your own module, or what `vitreous.load` gave; it needs no classifier. It comes back as it was.
        images: as in `explain`: a tensor, taken as both models' normalized input, or pictures.
        other: another model, on the same grid of patches; None compares the blocks of one with each other.
        batch_size: how many images run at once; bounds memory.
        preprocess: as in `explain`: how pictures become the models' input, where they do not say.
        pixel_window: as in `explain`: of gray pictures of more than 8 bits.
        how: the models are read, as in `similarity`.

    Raises:
        ShapeError: the two models have other grids of patches, or see other parts of a picture; there are fewer than
            4 patches, or all are the same after some block.
        ExplainError: an input, or a model without blocks that attend between all patches; the message says what to do.

    Cost: one forward pass of each image, and of every batch what it takes to measure how the tokens lie; the tokens of
        all blocks lie in memory; a product of matrices in float64 for every two blocks.

    >>> import torch, vitreous
    >>> found = vitreous.cka(vitreous.load(), torch.randn(2, 3, 128, 128))
    >>> found.rows, bool((found.values.diagonal() - 1).abs().max() < 1e-6)
    (128, True)
    """

    def read(given: nn.Module | LoadedModel) -> _Read:
        subject = describe(given).read_as(**how)
        inputs, views = inputs_of(subject, images, preprocess, pixel_window)
        with reading(subject.reading):
            return _read(subject.model, inputs, views, batch_size)

    here = read(model)
    there = here if other is None else read(other)
    _check_same_places(here, there)
    if (rows := len(here.tokens[0])) < _FEWEST:
        raise ShapeError(f"there are {rows} patches in all, and CKA needs {_FEWEST}. Give more pictures.")
    values = torch.stack([torch.stack([linear_cka(one, two) for two in there.tokens]) for one in here.tokens])
    if not values.isfinite().all():
        raise ShapeError(
            f"after some block, the tokens of all {rows} patches are the same, and CKA compares how they differ. Give "
            "pictures that differ."
        )
    return Kinship(values, here.blocks, there.blocks, rows)


@dataclass(frozen=True)
class _Read:
    """What a model made of pictures: (rows, width) after each of its blocks, and where the rows lie."""

    model: str
    blocks: tuple[str, ...]
    tokens: list[Rows]
    grid: tuple[int, int]
    boxes: tuple[tuple[int, ...], ...]


def _read(model: nn.Module, inputs: Tensor, views: Sequence[View], batch_size: int) -> _Read:
    blocks = find_blocks(model, inputs)
    parts = [block_tokens(model, part, blocks) for part in inputs.split(batch_size)]
    grid = parts[0][1]
    tokens = [
        torch.cat([tokens.of_patches(after[at], 1).flatten(0, 1).cpu() for after, tokens in parts])
        for at in range(len(blocks))
    ]
    return _Read(type(model).__name__, blocks, tokens, (grid.height, grid.width), tuple(view.box for view in views))


def _check_same_places(here: _Read, there: _Read) -> None:
    """Refuse to compare patches of other places: CKA takes each row for the same thing."""
    if here.grid != there.grid:
        one, two = ("{}×{}".format(*each.grid) for each in (here, there))
        raise ShapeError(
            f"`{here.model}` has {one} patches and `{there.model}` {two}, so no patch of one is one of the other. Give "
            "models with the same grid, or make them for other sizes of picture."
        )
    if here.boxes != there.boxes:
        raise ShapeError(
            f"`{here.model}` sees {here.boxes[0]} of the first picture and `{there.model}` {there.boxes[0]}, left, "
            "top, right and bottom in pixels. Give one preparation for both by preprocess=, or a tensor."
        )
