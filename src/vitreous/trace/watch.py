"""A forward pass whose attention is looked at and let go, one after the other: `watch(model, images, each)`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from vitreous.shapes import Images, Logits, Weights
from vitreous.trace.attend import AttentionCall
from vitreous.trace.intercept import Interceptor
from vitreous.trace.observe import check_input, nothing_observed, quiet
from vitreous.trace.record import TokenGrid, check_same_tokens, token_grid
from vitreous.trace.target import logits_of

__all__ = ["watch"]


def watch(model: nn.Module, images: Images, each: Callable[[TokenGrid, Weights], None]) -> tuple[Logits, TokenGrid]:
    """Run the model once, without gradients, and hand every global attention's weights over as they come.

    The weights of one attention are in memory at a time. The model is unchanged during and after the call.

    Args:
        model: any `nn.Module` with attention between all tokens.
        images: its input.
        each: called with the token grid and (batch, heads, tokens, tokens) for each attention, in order.

    Raises:
        NothingObserved, NoTokenGrid, NoGlobalAttention, ModelError, ShapeError: as `observe` and `Trace`.
    """
    check_input(images)
    kind = type(model).__name__

    def known() -> TokenGrid:
        tokens = token_grid(interceptor.grid, interceptor.sizes[0], kind)
        check_same_tokens(tokens, interceptor.sizes, kind)
        return tokens

    def seen(weights: Tensor) -> None:
        tokens = known()
        if interceptor.sizes[-1] is not None:
            each(tokens, weights)

    def attend(call: AttentionCall) -> Tensor:
        weights = call.scores().softmax(-1)
        seen(weights)
        return call.mix(weights)

    def mixed(_: Tensor, weights: Tensor) -> None:
        seen(weights.detach())

    with quiet(model), torch.no_grad(), Interceptor(attend, mixed) as interceptor:
        output = model(images.clone())
    if not interceptor.sizes:
        raise nothing_observed(model)
    return logits_of(output, kind), known()
