"""The transformer blocks: which modules they are, the tokens that go into each and those that come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from vitreous.errors import ModelFailed, NoGlobalAttention, NotFinite, NoTokenGrid, ObservationError
from vitreous.shapes import Images, TokenMask
from vitreous.trace.changes import changes
from vitreous.trace.edit import change_inputs
from vitreous.trace.observe import observe
from vitreous.trace.observed import Attention, TokenGrid, Trace
from vitreous.trace.once import once
from vitreous.trace.recorder import record

__all__ = ["Block", "block_tokens", "check_patches_can_go", "check_rows", "find_blocks", "observe_blocks", "one_each"]


@dataclass(frozen=True)
class Block:
    """One transformer block of the forward pass.

    Attributes:
        name: dotted name of the module.
        attention: that ran in it.
        before: the tokens that go in, on the autograd graph.
        after: the tokens that come out, likewise.
    """

    name: str
    attention: Attention
    before: Float[Tensor, "batch tokens width"]
    after: Float[Tensor, "batch tokens width"]


def observe_blocks(model: nn.Module, images: Tensor, *, changing: bool = False) -> tuple[Trace, tuple[Block, ...]]:
    """`observe`, and what went into and came out of every block.

    Args:
        model: comes back as it was.
        images: its input.
        changing: as in `find_blocks`.

    Raises:
        NothingObserved, NoTokenGrid, NoGlobalAttention, ModelError, ShapeError: as `observe` and `find_blocks`.
        NoTokenGrid: a block takes or gives something else than (batch, tokens, width).

    Cost: one forward pass, and one of the first image.
    """
    names = find_blocks(model, images, changing=changing)
    trace = observe(model, images, layers=names, inputs=names)
    blocks = tuple(
        Block(name, attention, trace.inputs[name], trace.layers[name])
        for name, attention in zip(names, trace.global_attentions, strict=True)
    )
    for block in blocks:
        for tensor in (block.before, block.after):
            check_rows(tensor, trace.model, block.name, len(images), trace.tokens)
    return trace, blocks


def block_tokens(model: nn.Module, images: Images, blocks: Sequence[str]) -> tuple[list[Tensor], TokenGrid]:
    """The tokens (batch, tokens, width) that come out of every block, and how they lie on the picture.

    Args:
        model: comes back as it was.
        images: its input.
        blocks: as `find_blocks` found them.

    Raises:
        NoTokenGrid: as `check_rows`.
        NotFinite: some tokens are NaN or infinite.

    Cost: one forward pass, and what it takes to measure how the tokens lie.
    """
    seen = record(model, images, outputs=blocks)
    for name in blocks:
        check_rows(seen.outputs[name], seen.model, name, len(images), seen.tokens)
        if not seen.outputs[name].isfinite().all():
            raise NotFinite(
                f"blocks of `{seen.model}` gave NaN or infinite tokens, the first of them `{name}`. Check that its "
                "weights are finite, and run it in float32 or float64."
            )
    return [seen.outputs[name] for name in blocks], seen.tokens


def check_rows(tensor: Tensor, model: str, block: str, images: int, tokens: TokenGrid) -> None:
    """Refuse what a block takes or gives where it is no row of tokens for each image.

    Raises:
        NoTokenGrid: so it is.
    """
    if tensor.ndim != 3 or tensor.shape[:2] != (images, tokens.tokens):
        raise NoTokenGrid(
            f"`{block}` of `{model}` passes on {tuple(tensor.shape)}, not (batch, tokens, width) of "
            f"{images} images and {tokens.tokens} tokens. Build it batch first."
        )


def find_blocks(model: nn.Module, images: Tensor, *, changing: bool = False) -> tuple[str, ...]:
    """The transformer blocks: dotted names of the modules that hold one attention between all tokens each.

    Found by running the first image.

    Args:
        model: comes back as it was.
        images: its input.
        changing: whether their tokens will be changed, so that they must not run in another pass as well.

    Raises:
        ObservationError: several passes ran, and none was chosen; or blocks that will be changed run in several.
        NothingObserved, NoTokenGrid, NoGlobalAttention, ModelError, ShapeError: as `observe` and `Trace`.
        NoGlobalAttention: no modules hold one attention each.
        ObservationError: they do, but only what is in them is called.
    """
    return once(("blocks", changing), model, images, lambda: _find(model, images, changing=changing), picture=True)


def _find(model: nn.Module, images: Tensor, *, changing: bool) -> tuple[str, ...]:
    ran: set[str] = set()
    with changes() as change:
        for name, module in model.named_modules():
            change.before(module, partial(_note, ran, name))
        seen = record(model, images[:1])
    _ = seen.tokens
    if changing and (shared := [name for name in seen.names if name in seen.unread]):
        raise ObservationError(
            f"`{shared[0]}` of `{seen.model}` also runs in a pass that is not read, and changing its tokens would "
            "change both. Use a method that changes none, such as `rollout` or `attcat`."
        )
    attentions = [name for name, size in zip(seen.names, seen.sizes, strict=True) if size is not None]
    if len(attentions) == 1:
        raise NoGlobalAttention(
            f"`{seen.model}` runs one attention alone, in `{attentions[0]}`, and which of the modules around it is its "
            "block shows only where several have one each. Use a method that reads attention alone, such as `rollout`."
        )
    if not (blocks := one_each(attentions)):
        raise NoGlobalAttention(
            f"`{seen.model}` runs its {len(attentions)} attentions in {', '.join(f'`{name}`' for name in attentions)}, "
            "which is not one for each block. Use a method that reads attention alone, such as `rollout`."
        )
    if silent := [name for name in blocks if name not in ran]:
        raise ObservationError(
            f"`{silent[0]}` of `{seen.model}` holds a block and is never called itself, so what goes in and comes out "
            "is not seen. Give each block a `forward` of its own, or use a method that reads attention alone, such as "
            "`rollout`."
        )
    return tuple(blocks)


def _note(ran: set[str], name: str, _: object) -> None:
    ran.add(name)


def check_patches_can_go(model: nn.Module, images: Images, grid: TokenGrid, block: str) -> None:
    """Refuse to run a model without some of its patches where it would then read another token.

    Where extra tokens come after the patches, that is measured: the first image runs without one patch.

    Args:
        model: comes back as it was.
        images: its input.
        grid: how the tokens lie.
        block: the first of its blocks that is to run without them.

    Raises:
        ObservationError: an extra token stands between patches, or is read by its place counted from the first.

    Cost: nothing where the extra tokens come first; else two forward passes of one image, and backward passes of the
        last block.
    """
    kind, extra = type(model).__name__, grid.extra_places
    if not grid.order or all(at < min(grid.order) for at in extra):
        return
    if any(min(grid.order) < at < max(grid.order) for at in extra):
        raise ObservationError(
            f"`{kind}` has tokens between its patches, {', '.join(map(str, extra))} of {grid.tokens}, which would lose "
            "their places without some of these. Use `rise` or `vit_cx`, which leave all tokens."
        )
    stay = [at for at in range(grid.tokens) if at != grid.order[0]]
    whole, fewer = observe(model, images[:1]).read_tokens()[stay], _read_of(model, images[:1], block, grid, stay)
    if fewer is None or not torch.equal(fewer, whole):
        raise ObservationError(
            f"`{kind}` does not read the same of its {grid.extra} extra tokens without some of the {grid.patches} "
            "patches before them: it goes by their places. Use `rise` or `vit_cx`, which leave all tokens."
        )


def _read_of(model: nn.Module, image: Images, block: str, grid: TokenGrid, stay: Sequence[int]) -> TokenMask | None:
    """Which of some tokens the class scores depend on when a block is given these alone; None where that fails."""

    def drop(tokens: Tensor) -> Tensor:
        return tokens[:, stay] if tokens.ndim == 3 and tokens.shape[1] == grid.tokens else tokens

    try:
        with change_inputs(model, [block], lambda given: pytree.tree_map_only(Tensor, drop, given)):
            trace = observe(model, image)
    except ModelFailed:  # no token has such a place, or the positions of all are needed
        return None
    return trace.read_after(next(each for each in reversed(trace.attentions) if each.tokens == len(stay)))


def one_each(names: Sequence[str]) -> list[str]:
    """The outermost modules that hold one of the named attentions each; none where one holds several, or of one alone.

    >>> one_each(["encoder.0.attn", "encoder.1.attn"])
    ['encoder.0', 'encoder.1']
    """
    parts = [name.split(".") for name in names]
    depth = next((at for at, column in enumerate(zip(*parts, strict=False)) if len(set(column)) > 1), None)
    if depth is None:
        return []
    blocks = [".".join(part[: depth + 1]) for part in parts]
    return blocks if len(set(blocks)) == len(blocks) else []
