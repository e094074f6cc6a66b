"""Numbers that differ by rounding alone, taken for equal: no order shall hang on a batch, a kernel, a processor."""

from __future__ import annotations

import torch
from jaxtyping import Int, Shaped
from torch import Tensor

__all__ = ["first_of_largest", "levels"]

_SAME = 1e-6
"""Share of a number by which equals may differ: eight steps of single precision."""


def levels(values: Shaped[Tensor, "*rows numbers"]) -> Int[Tensor, "*rows numbers"]:
    """The rank of each number of a row, from 0 for the lowest; those a millionth or less apart share one.

    >>> levels(torch.tensor([0.5, 0.1, 0.50000001, 0.9]))
    tensor([1, 0, 1, 2])
    """
    ordered, order = values.sort(-1)
    apart = ordered.diff(dim=-1, prepend=ordered[..., :1]) > _SAME * ordered.abs()
    return torch.empty_like(order).scatter(-1, order, apart.cumsum(-1))


def first_of_largest(values: Shaped[Tensor, "*rows numbers"]) -> Int[Tensor, "*rows"]:
    """Where the largest number of each row is: the first of those at most a millionth below it.

    >>> first_of_largest(torch.tensor([0.1, 0.4999999, 0.5]))
    tensor(1)
    """
    largest = values.amax(-1, keepdim=True)
    return (values >= largest - _SAME * largest.abs()).byte().argmax(-1)
