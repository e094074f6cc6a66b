"""Which row of an attention matrix speaks for the picture."""

from __future__ import annotations

from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor

from vitreous.errors import NoClassToken, check_setting
from vitreous.methods.requirements import check_class_token
from vitreous.trace.observed import TokenGrid, Trace

__all__ = ["Readout", "check_readout", "first_row"]

Readout = Literal["class", "mean"]
"""The class token's row, or the mean of the patches' rows."""


def check_readout(trace: Trace, method: str, readout: Readout) -> TokenGrid:
    """Refuse a readout that is not what the classifier does, measured on the trace.

    Returns:
        the token grid, its class token the one that is read.

    Raises:
        NoClassToken: readout="class", and the class scores do not depend on a class token.
        NoClassToken: readout="mean", and they depend on no patch.
    """
    check_setting("readout", readout, get_args(Readout))
    tokens, read = trace.tokens, trace.read_tokens()
    if readout == "class":
        return check_class_token(tokens, trace.model, method, tokens.of_extra(read))
    if not tokens.of_patches(read).any():
        raise NoClassToken(
            f'`{method}` with readout="mean" averages the patches, but the class scores of `{trace.model}` '
            'depend on no patch of the last layer. Use readout="class".'
        )
    return tokens


def first_row(
    tokens: TokenGrid, like: Float[Tensor, "batch tokens tokens"], readout: Readout
) -> Float[Tensor, "batch 1 tokens"]:
    """The row vector that selects the readout: what is read, as weights over the tokens."""
    row = like.new_zeros(like.shape[0], 1, tokens.tokens)
    if readout == "class":
        row[..., tokens.class_token] = 1
        return row
    return row + tokens.among_tokens(row.new_full((tokens.patches,), 1 / tokens.patches), 0, extra=0)
