"""The class-token stream: one fused forward pass, then gradients along the skip path for the extra tokens alone.

With every attention's input detached, nothing but attention mixes tokens, so the class scores of a pre-norm ViT depend
on its extra tokens (class token, distillation token, registers) and, through each attention's weights, on constants.
A forward pass that keeps S[extra, :] and V of every attention is enough to run the extra tokens through the model's
own modules again, alone, and to differentiate that: a computation on a token or five instead of hundreds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from vitreous.errors import ModelFailed, NotFinite
from vitreous.shapes import Logits, Scores
from vitreous.trace.attend import AttentionCall
from vitreous.trace.blocks import one_each
from vitreous.trace.edit import change_inputs
from vitreous.trace.gradient import gradients, outside_inference
from vitreous.trace.observed import TokenGrid
from vitreous.trace.recorder import record, tokens_of
from vitreous.trace.seen import AttentionSeen

__all__ = ["Stream", "follow_stream", "replay"]


@dataclass(frozen=True)
class Stream:
    """What one fused forward pass keeps of the extra tokens.

    Attributes:
        logits: the model's class scores.
        names: of the modules that ran attention, in order.
        tokens: the token grid.
        scores: (batch, heads, extra, tokens) per fused attention; fewer than `names` where a model writes some out.
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
    tokens = tokens_of(model, images)
    scores: list[Tensor] = []
    values: list[Tensor] = []

    def attend(seen: AttentionSeen) -> None:
        if isinstance(seen.attention, AttentionCall) and seen.sizes[-1] is not None:
            scores.append(seen.attention.of(tokens.of_extra).scores())
            values.append(seen.attention.value)

    seen = record(model, images, attention=attend)
    seen.check_tokens(tokens)
    return Stream(seen.logits, seen.names, tokens, tuple(scores), tuple(values))


def replay(model: nn.Module, images: Tensor, stream: Stream, direction: Logits) -> list[Tensor] | None:
    """∂⟨direction, logits⟩/∂weights of the extra tokens' rows, gradients following the skip path and the MLPs only.

    The extra tokens run through the model's own blocks alone; each attention gives back its kept weights times its
    kept values. The result is believed only if the class scores come out as in the full pass.

    Returns:
        (batch, heads, extra, tokens) per attention; None where the model is no plain pre-norm ViT with fused
        attention, so that the extra tokens cannot run alone: then differentiate the whole model.
    """
    blocks = one_each(stream.names)
    if not blocks or len(stream.scores) != len(stream.names):
        return None
    with torch.inference_mode(False):
        weights = [outside_inference(scores).softmax(-1).requires_grad_() for scores in stream.scores]
    tokens = stream.tokens

    def attend(seen: AttentionSeen) -> Tensor:
        at = len(seen.sizes) - 1
        call = seen.attention
        if at >= len(weights) or not isinstance(call, AttentionCall) or call.query.shape[-2] != tokens.extra:
            raise _NotPlain
        return weights[at] @ stream.values[at]

    first = change_inputs(model, blocks[:1], _only_extra(tokens, cut=True))
    others = change_inputs(model, blocks[1:], _only_extra(tokens, cut=False))
    try:
        with first, others:
            logits = record(model, images, attention=attend, gradients=True).logits
    except (_NotPlain, NotFinite, ModelFailed):  # the latter: something else needs the patches too
        return None
    tolerance = torch.finfo(logits.dtype).eps ** 0.5 * stream.logits.abs().max()
    if not (logits - stream.logits).abs().max() <= tolerance:
        return None
    return gradients(logits, direction, weights, type(model).__name__, reached=True)


class _NotPlain(BaseException):
    """The extra tokens cannot run alone: a signal that never leaves this file, nor is taken for the model's error."""


def _only_extra(grid: TokenGrid, *, cut: bool) -> Callable[[Any], Any]:
    """For a block that must take one tensor of tokens and nothing else; the first block drops the patches."""

    def change(given: Any) -> Any:
        tensors = [leaf for leaf in pytree.tree_leaves(given) if isinstance(leaf, Tensor)]
        if len(tensors) != 1 or tensors[0].ndim != 3:
            raise _NotPlain
        if not cut:
            return None
        return pytree.tree_map_only(Tensor, lambda tokens: grid.of_extra(tokens, 1).detach(), given)

    return change
