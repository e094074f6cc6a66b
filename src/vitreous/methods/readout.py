"""Which row of an attention matrix speaks for the picture."""

from __future__ import annotations

from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor, nn

from vitreous.errors import NoClassToken, check_setting
from vitreous.methods.method import check_class_token
from vitreous.trace.record import TokenGrid, Trace

__all__ = ["Readout", "check_readout", "first_row"]

Readout = Literal["class", "mean"]
"""The class token's row, or the mean of the patches' rows."""


def check_readout(trace: Trace, model: nn.Module, method: str, readout: Readout) -> None:
    """Refuse a readout that is not what the classifier does, measured on the trace.

    Raises:
        NoClassToken: readout="class", and the class scores do not depend on a class token.
        NoClassToken: readout="mean", and they depend on no patch.
    """
    check_setting("readout", readout, get_args(Readout))
    tokens, read = trace.tokens, trace.read_tokens()
    if readout == "class":
        check_class_token(tokens, model, method, read=bool(read[:1].any()))
    elif not read[tokens.prefix :].any():
        raise NoClassToken(
            f'`{method}` with readout="mean" averages the patches, but the class scores of `{type(model).__name__}` '
            'depend on no patch of the last layer. Use readout="class".'
        )


def first_row(
    tokens: TokenGrid, like: Float[Tensor, "batch tokens tokens"], readout: Readout
) -> Float[Tensor, "batch 1 tokens"]:
    """The row vector that selects the readout: what is read, as weights over the tokens."""
    row = like.new_zeros(like.shape[0], 1, tokens.tokens)
    if readout == "class":
        row[..., 0] = 1
    else:
        row[..., tokens.prefix :] = 1 / (tokens.height * tokens.width)
    return row
