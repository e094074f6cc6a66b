"""Operations that may put tokens, or images, in another order: a sign to measure again where these stand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vitreous.trace.moves import REORDERS, TURNS
from vitreous.trace.product import tensors_in

__all__ = ["Reorders"]

_JOIN = {torch.cat, torch.concat, torch.concatenate}
_ROLL = {torch.roll, Tensor.roll}
_MIXES = {F.linear, F.conv1d, torch.conv1d, torch.einsum}
_PRODUCT = {torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.linalg.matmul, torch.bmm, Tensor.bmm}


class Reorders:
    """Of one forward pass, the operations that may reorder what came from the picture, by the attention they precede.

    Slices, sums and linear maps of the channels keep an order, so most models have none; that some are found proves
    nothing, and costs a measurement.
    """

    def __init__(self) -> None:
        self._before: list[int] = []
        self._swapped: list[tuple[int, int]] = []
        self._turns = False  # whether there are others than rolls, which windows are made by and taken back

    def see(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        attention: int,
        above: Callable[[Any], int],
    ) -> None:
        """Note an operation that precedes the attention with this place; the first is 0.

        Args:
            func: the operation, given `args` and `kwargs`.
            args: likewise.
            kwargs: likewise.
            attention: how many ran before it.
            above: is not 0 of what depends on the picture.
        """
        if func in REORDERS or (func is Tensor.__getitem__ and _by_tensors(args[1])):
            self._before.append(attention)
            self._turns |= func not in _ROLL
        elif attention and func in _JOIN and _joins_tokens(args, kwargs):
            self._before.append(attention)
        elif attention and (func in _PRODUCT or func in _MIXES):
            self._swapped += [(attention, length) for length in _mixed(func, args, above)]
        elif func in TURNS and args[0].ndim > 3:
            self._swapped += [(attention, count) for count in _swapped(func, args, kwargs)]

    def before(self, attention: int, *counts: int) -> bool:
        """Whether any was seen up to the attention with this place, of so many patches, or tokens."""
        return any(at <= attention for at in self._before) or any(
            0 < at <= attention and count in counts for at, count in self._swapped
        )

    def turned(self, *sizes: int) -> bool:
        """Whether any but rolls was seen that may turn a picture or a map of one of these sizes, in numbers."""
        return self._turns or any(count in sizes for _, count in self._swapped)


def _by_tensors(index: Any) -> bool:
    return any(isinstance(each, Tensor | list) for each in (index if isinstance(index, tuple) else (index,)))


def _joins_tokens(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether rows of tokens are joined to a longer one, (batch, tokens, width)."""
    tensors = args[0] if args else kwargs["tensors"]
    return tensors[0].ndim == 3 and (args[1] if len(args) > 1 else kwargs.get("dim", 0)) in (1, -2)


def _mixed(func: Callable[..., Any], args: tuple[Any, ...], above: Callable[[Any], int]) -> list[int]:
    """The lengths of what a product of tokens with constants sums over, which may be the tokens."""
    if func is F.linear:
        return [args[0].shape[-1]]
    if func is F.conv1d or func is torch.conv1d:
        return [args[0].shape[1]]
    tensors = list(tensors_in(args))
    if len(tensors) != 2 or all(above(each) for each in tensors):
        return []
    if func in _PRODUCT:
        return [tensors[1].shape[max(-2, -tensors[1].ndim)]]
    if func is torch.einsum and isinstance(args[0], str) and "." not in args[0]:
        terms, _, result = args[0].replace(" ", "").partition("->")
        sides = [dict(zip(term, each.shape, strict=True)) for term, each in zip(terms.split(","), tensors, strict=True)]
        return [length for name, length in sides[0].items() if name in sides[1] and name not in result]
    return []


def _swapped(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[int]:
    """How many numbers lie on each two axes that change their order, as rows and columns of patches do."""
    before = torch.empty(args[0].shape, device="meta")
    after = func(before, *args[1:], **kwargs)
    axes = [(-stride, length) for stride, length in zip(after.stride(), after.shape, strict=True) if length > 1]
    return [a[1] * b[1] for a, b in combinations(axes, 2) if a[0] > b[0]]
