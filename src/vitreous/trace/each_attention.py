"""A forward pass that shows one attention after the other and lets it go: `each_attention(model, images, callback)`."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from vitreous.shapes import Images, Logits, Weights
from vitreous.trace.observed import TokenGrid, check_same_tokens
from vitreous.trace.recorder import record, tokens_of
from vitreous.trace.seen import AttentionSeen

__all__ = ["each_attention"]


def each_attention(
    model: nn.Module, images: Images, callback: Callable[[TokenGrid, Weights], None]
) -> tuple[Logits, TokenGrid]:
    """Run the model once, without gradients, and hand every global attention's weights over as they come.

    The weights of one attention are in memory at a time. The model is unchanged during and after the call.

    Args:
        model: any `nn.Module` with attention between all tokens.
        images: its input.
        callback: called with the token grid and (batch, heads, tokens, tokens) for each attention, in order.

    Raises:
        NothingObserved, NoTokenGrid, NoGlobalAttention, ModelError, ShapeError: as `observe` and `Trace`.
    """
    tokens = tokens_of(model, images)

    def attend(seen: AttentionSeen) -> Tensor | None:
        _, weights = seen.attention.scores_and_weights()
        check_same_tokens(tokens, seen.sizes, seen.model)
        if seen.sizes[-1] is not None:
            callback(tokens, weights)
        return seen.attention.mix(weights)

    seen = record(model, images, attention=attend)
    seen.check_tokens(tokens)
    return seen.logits, tokens
