"""A forward pass that keeps no more than names and sizes: where attention runs, and on which grid."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitreous.errors import NoGlobalAttention
from vitreous.shapes import Logits
from vitreous.trace.attend import AttentionCall
from vitreous.trace.intercept import Interceptor
from vitreous.trace.names import running_names
from vitreous.trace.observe import check_input, nothing_observed, quiet
from vitreous.trace.record import check_same_tokens, token_grid
from vitreous.trace.target import logits_of

__all__ = ["Glance", "find_blocks", "glance", "one_each"]


@dataclass(frozen=True)
class Glance:
    """What a forward pass shows without keeping any numbers.

    Attributes:
        logits: the model's class scores.
        names: of the modules that ran attention, in order.
        sizes: how many tokens attend to each other there; None where queries and keys are not the same tokens, 0 where
            they are channels.
        grid: (height, width) of the patches; None where there was no attention or no convolution before it.
    """

    logits: Logits
    names: tuple[str, ...]
    sizes: tuple[int | None, ...]
    grid: tuple[int, int] | None


def glance(model: nn.Module, images: Tensor) -> Glance:
    """Run the model once, with its own fused attention and without gradients.

    Raises:
        ModelError, ShapeError: as `observe`.
    """
    check_input(images)
    names: list[str] = []
    with ExitStack() as stack:
        stack.enter_context(quiet(model))
        stack.enter_context(torch.no_grad())
        name = stack.enter_context(running_names(model))

        def attend(call: AttentionCall) -> Tensor:
            names.append(name())
            return call.fused()

        def mixed(_: Tensor, __: Tensor) -> None:
            names.append(name())

        interceptor = stack.enter_context(Interceptor(attend, mixed))
        logits = logits_of(model(images.clone()), type(model).__name__)
    return Glance(logits, tuple(names), interceptor.sizes, interceptor.grid)


def find_blocks(model: nn.Module, images: Tensor) -> tuple[str, ...]:
    """The transformer blocks: dotted names of the modules that hold one attention between all tokens each.

    Found by running the first image.

    Raises:
        NothingObserved, NoTokenGrid, NoGlobalAttention, ModelError, ShapeError: as `observe` and `Trace`.
        NoGlobalAttention: no modules hold one attention each.
    """
    kind = type(model).__name__
    seen = glance(model, images[:1])
    if not seen.names:
        raise nothing_observed(model)
    check_same_tokens(token_grid(seen.grid, seen.sizes[0], kind), seen.sizes, kind)
    attentions = [name for name, size in zip(seen.names, seen.sizes, strict=True) if size is not None]
    if not (blocks := one_each(attentions)):
        raise NoGlobalAttention(
            f"`{kind}` runs its {len(attentions)} attentions in {', '.join(f'`{name}`' for name in attentions)}, which "
            "is not one for each block. Use a method that reads attention alone, such as `rollout`."
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
