"""The transformer blocks: which modules they are, the tokens that go into each and those that come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from vitreous.errors import NoGlobalAttention, NoTokenGrid, ObservationError
from vitreous.trace.observe import observe
from vitreous.trace.record import Attention, Trace
from vitreous.trace.recorder import record

__all__ = ["Block", "find_blocks", "observe_blocks", "one_each"]


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
    expected = (len(images), trace.tokens.tokens)
    for block in blocks:
        for tensor in (block.before, block.after):
            if tensor.ndim != 3 or tensor.shape[:2] != expected:
                raise NoTokenGrid(
                    f"`{block.name}` of `{trace.model}` passes on {tuple(tensor.shape)}, not (batch, tokens, width) of "
                    f"{expected[0]} images and {expected[1]} tokens. Build it batch first."
                )
    return trace, blocks


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
    """
    seen = record(model, images[:1])
    _ = seen.tokens
    if changing and (shared := [name for name in seen.names if name in seen.unread]):
        raise ObservationError(
            f"`{shared[0]}` of `{seen.model}` also runs in a pass that is not read, and changing its tokens would "
            "change both. Use a method that changes none, such as `rollout` or `attcat`."
        )
    attentions = [name for name, size in zip(seen.names, seen.sizes, strict=True) if size is not None]
    if not (blocks := one_each(attentions)):
        raise NoGlobalAttention(
            f"`{seen.model}` runs its {len(attentions)} attentions in {', '.join(f'`{name}`' for name in attentions)}, "
            "which is not one for each block. Use a method that reads attention alone, such as `rollout`."
        )
    return tuple(blocks)


def one_each(names: Sequence[str]) -> list[str]:
    """The outermost modules that hold one of the named attentions each; none where one holds several.

    >>> one_each(["encoder.0.attn", "encoder.1.attn"])
    ['encoder.0', 'encoder.1']
    """
    parts = [name.split(".") for name in names]
    depth = next((at for at, column in enumerate(zip(*parts, strict=False)) if len(set(column)) > 1), None)
    if depth is None:
        return []
    blocks = [".".join(part[: depth + 1]) for part in parts]
    return blocks if len(set(blocks)) == len(blocks) else []
