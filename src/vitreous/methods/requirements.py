"""What methods need of a model or of their settings, and refuse to do without."""

from __future__ import annotations

import torch
from torch import Tensor

from vitreous.errors import NoClassToken, ShapeError, TooFewDigits
from vitreous.shapes import Logits, TokenMask
from vitreous.trace.observed import TokenGrid

__all__ = ["check_at_least", "check_class_token", "check_digits", "check_one_sign", "check_product"]

_MOST_DRAWN = 10_000_000
"""Random numbers of a method, times a few bytes and directions each."""


def check_class_token(tokens: TokenGrid, model: str, method: str, read: TokenMask | None = None) -> TokenGrid:
    """Refuse to read the class-token row where there is none, or where the classifier does not read it.

    Args:
        tokens: how they lie.
        model: class name of the model, for the message.
        method: likewise.
        read: which of the extra tokens the class scores depend on; None as long as that is unknown.

    Returns:
        the grid, its class token the one that is read.

    Raises:
        NoClassToken: `method` needs one.
    """
    remedy = 'Use `rollout` or `raw_attention` with readout="mean".'
    if tokens.extra == 0:
        raise NoClassToken(
            f"`{method}` reads the class-token row, but `{model}` has {tokens.tokens} tokens for a "
            f"{tokens.height}×{tokens.width} grid: none is left for a class token. {remedy}"
        )
    if read is not None and not read.any():
        raise NoClassToken(
            f"`{method}` reads the class-token row, but the class scores of `{model}` depend on none of its "
            f"{tokens.extra} tokens beside the patches: it pools these, or its head is all zeros. {remedy}"
        )
    return tokens if read is None else tokens.read_by(read)


def check_at_least(name: str, value: int | float, least: int | float) -> None:
    """Refuse a setting that is too small.

    Raises:
        ShapeError: `value` is below `least`.
    """
    if value < least:
        raise ShapeError(f"`{name}` must be at least {least:g}; got {value:g}. Give a larger number.")


def check_product(one: str, first: int, other: str, second: int) -> None:
    """Refuse two settings, such as how many random walks and their length, that need more numbers than fit into memory.

    Raises:
        ShapeError: their product is above ten million.
    """
    if first * second > _MOST_DRAWN:
        raise ShapeError(
            f"`{one}` {first:,} times `{other}` {second:,} are more than {_MOST_DRAWN:,} numbers to draw. Take less."
        )


def check_one_sign(direction: Logits, method: str, remedy: str) -> Logits:
    """Refuse a direction of both signs where relevance is scaled by its total, of which these leave only a rest.

    Args:
        direction: what is explained.
        method: for the message.
        remedy: what to use instead.

    Returns:
        the direction.

    Raises:
        ShapeError: it weighs some scores up and others down, as the margin of two classes does.
    """
    if ((direction > 0).any(1) & (direction < 0).any(1)).any():
        raise ShapeError(
            f"`{method}` shares out relevance in proportion to its total, and what is explained has both signs, such "
            f"as one class against another, whose total is no measure of it. {remedy}"
        )
    return direction


def check_digits(method: str, *numbers: Tensor) -> None:
    """Refuse bfloat16 where small differences of scores decide what is chosen.

    Raises:
        TooFewDigits: one of these, a model's input or its class scores, is in bfloat16.
    """
    if any(each.dtype == torch.bfloat16 for each in numbers):
        raise TooFewDigits(f"`{method}` chooses by small differences of scores", torch.bfloat16)
