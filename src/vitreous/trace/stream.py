"""The class-token stream: one fused forward pass, then gradients along the skip path for the prefix tokens alone.

With every attention's input detached, nothing but attention mixes tokens, so the class scores of a pre-norm ViT depend
on its prefix tokens (class token, distillation token, registers) and, through each attention's weights, on constants.
A forward pass that keeps S[prefix, :] and V of every attention is enough to run the prefix tokens through the model's
own modules again, alone, and to differentiate that: a computation on a token or five instead of hundreds.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from vitreous.shapes import Logits, Scores
from vitreous.trace.attend import AttentionCall
from vitreous.trace.edit import find_layers
from vitreous.trace.glance import one_each
from vitreous.trace.gradient import gradients, ordinary
from vitreous.trace.intercept import Interceptor
from vitreous.trace.names import running_names
from vitreous.trace.observe import check_input, nothing_observed, quiet
from vitreous.trace.record import TokenGrid, check_same_tokens, token_grid
from vitreous.trace.target import logits_of

__all__ = ["Stream", "follow_stream", "replay"]


@dataclass(frozen=True)
class Stream:
    """What one fused forward pass keeps of the prefix tokens.

    Attributes:
        logits: the model's class scores.
        names: of the modules that ran attention, in order.
        tokens: the token grid.
        scores: (batch, heads, prefix, tokens) per fused attention; fewer than `names` where a model writes some out.
        values: (batch, heads, tokens, width) per fused attention.
    """

    logits: Logits
    names: tuple[str, ...]
    tokens: TokenGrid
    scores: tuple[Scores, ...]
    values: tuple[Tensor, ...]


def follow_stream(model: nn.Module, images: Tensor) -> Stream:
    """Run the model once, with its own fused attention, and keep the class-token stream.

    Raises:
        NothingObserved, NoTokenGrid, NoGlobalAttention, ModelError, ShapeError: as `observe` and `Trace`.
    """
    check_input(images)
    kind = type(model).__name__
    names: list[str] = []
    scores: list[Tensor] = []
    values: list[Tensor] = []

    with ExitStack() as stack:
        stack.enter_context(quiet(model))
        stack.enter_context(torch.no_grad())
        name = stack.enter_context(running_names(model))

        def attend(call: AttentionCall) -> Tensor:
            names.append(name())
            prefix = token_grid(interceptor.grid, interceptor.sizes[0], kind).prefix
            scores.append(call.first(prefix).scores())
            values.append(call.value)
            return call.fused()

        def mixed(_: Tensor, __: Tensor) -> None:
            names.append(name())

        interceptor = stack.enter_context(Interceptor(attend, mixed))
        output = model(images.clone())

    if not names:
        raise nothing_observed(model)
    tokens = token_grid(interceptor.grid, interceptor.sizes[0], kind)
    check_same_tokens(tokens, interceptor.sizes, kind)
    return Stream(logits_of(output, kind), tuple(names), tokens, tuple(scores), tuple(values))


def replay(model: nn.Module, images: Tensor, stream: Stream, direction: Logits) -> list[Tensor] | None:
    """∂⟨direction, logits⟩/∂weights of the prefix rows, gradients travelling along the skip path and the MLPs only.

    The prefix tokens run through the model's own blocks alone; each attention gives back its kept weights times its
    kept values. The result is believed only if the class scores come out as in the full pass.

    Returns:
        (batch, heads, prefix, tokens) per attention; None where the model is no plain pre-norm ViT with fused
        attention, so that the prefix tokens cannot run alone: then differentiate the whole model.
    """
    blocks = one_each(stream.names)
    if not blocks or len(stream.scores) != len(stream.names):
        return None
    weights: list[Tensor] = []
    prefix = stream.tokens.prefix
    turn = count()

    def attend(call: AttentionCall) -> Tensor:
        at = next(turn)
        if at >= len(weights) or call.query.shape[-2] != prefix:
            raise _NotPlain
        return weights[at] @ stream.values[at]

    try:
        with ExitStack() as stack:
            stack.enter_context(quiet(model))
            stack.enter_context(torch.enable_grad())
            weights += [ordinary(scores).softmax(-1).requires_grad_() for scores in stream.scores]
            for at, block in enumerate(find_layers(model, blocks).values()):
                handle = block.register_forward_pre_hook(_only_prefix(prefix, cut=at == 0), with_kwargs=True)
                stack.callback(handle.remove)
            stack.enter_context(Interceptor(attend))
            logits = logits_of(model(images.clone()), type(model).__name__)
    except (_NotPlain, RuntimeError):  # RuntimeError: something outside attention needs the patches too
        return None
    tolerance = torch.finfo(logits.dtype).eps ** 0.5 * stream.logits.abs().max()
    if not (logits - stream.logits).abs().max() <= tolerance:
        return None
    return gradients(logits, direction, weights, type(model).__name__)


class _NotPlain(Exception):
    """The prefix tokens cannot run alone: a signal that never leaves this file."""


def _only_prefix(prefix: int, *, cut: bool) -> Any:
    """A hook for a block that must take one tensor of tokens and nothing else; the first one drops the patches."""

    def hook(_: nn.Module, args: Any, kwargs: Any) -> Any:
        tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if len(tensors) != 1 or tensors[0].ndim != 3:
            raise _NotPlain
        if not cut:
            return None
        return pytree.tree_map_only(Tensor, lambda tokens: tokens[:, :prefix].detach(), (args, kwargs))

    return hook
