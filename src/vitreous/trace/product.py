"""A product of attention weights and values: which operand is which."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

__all__ = ["roles", "tensors_in"]


def roles(func: Callable[..., Any], args: tuple[Any, ...], at: int) -> tuple[int, int, Tensor | None]:
    """What is what in a product of attention weights, its operand number `at`, and values.

    Returns:
        which axis of the weights is summed over, which axis of the result has the queries, and the values as
        (…, keys, width); None where they are given otherwise.

    >>> keys, queries, values = roles(
    ...     torch.einsum, ("bhij,bjhd->bihd", torch.ones(1, 2, 3, 3), torch.ones(1, 3, 2, 4)), 0
    ... )
    >>> keys, queries, values.shape
    (-1, -3, torch.Size([1, 2, 3, 4]))
    """
    tensors = list(tensors_in(args))
    other = tensors[1 - at] if len(tensors) == 2 else None
    if func is torch.einsum and isinstance(args[0], str) and "->" in args[0] and other is not None:
        terms, result = args[0].replace(" ", "").split("->")
        weights, values = terms.split(",")[at], terms.split(",")[1 - at]
        keys, queries = (-2, -1) if weights[-1] in result else (-1, -2)
        rest = "".join(axis for axis in values if axis not in weights)
        wanted = weights[:-2] + weights[keys] + rest  # the axes of (…, keys, width)
        plain = sorted(wanted) == sorted(values) and len(rest) == 1 and weights[queries] in result
        return (
            keys,
            result.find(weights[queries]) - len(result),
            other.permute([values.index(axis) for axis in wanted]) if plain else None,
        )
    return (-1, -2, other) if at == 0 else (-2, -1, tensors[0].mT)


def tensors_in(args: Iterable[Any]) -> Iterable[Tensor]:
    """The tensors among arguments, and in lists of them."""
    for arg in args:
        if isinstance(arg, Tensor):
            yield arg
        elif isinstance(arg, list | tuple):
            yield from tensors_in(arg)
