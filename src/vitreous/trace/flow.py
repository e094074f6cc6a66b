"""Which attentions of a forward pass reach which, by the tensors that travel between them; and so, how many passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import ref

import torch
from torch import Tensor
from torch.autograd.graph import Node

__all__ = ["Flow", "chains", "nodes_before", "passes"]


class Flow:
    """What every tensor was made of: the attentions it depends on, as the bits of a number."""

    def __init__(self) -> None:
        self._above: dict[int, tuple[ref[Tensor], int]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing was marked yet."""
        return not self._above

    def above(self, tree: Any) -> int:
        """The attentions that any of these tensors depends on."""
        found = 0
        for tensor in () if self.is_empty else _tensors(tree):
            seen, bits = self._above.get(id(tensor), (None, 0))
            if seen is not None and seen() is tensor:  # numbers of tensors that are gone are given out again
                found |= bits
        return found

    def mark(self, tree: Any, bits: int) -> None:
        """These tensors, and what they are views of, depend on these attentions too."""
        if not bits:
            return
        # nobody else is to see that a tensor is asked for its base
        with torch._C.DisableTorchFunction():  # pyright: ignore[reportPrivateUsage]
            for tensor in _tensors(tree):
                for each in (tensor, tensor._base):
                    if each is not None:
                        self._above[id(each)] = ref(each), bits | self.above(each)


def passes(above: Sequence[int], names: Sequence[str]) -> list[int]:
    """Which pass through an encoder each attention belongs to, numbered in order.

    An attention goes on with a pass if it depends on its latest attention, and on nothing that the pass did not begin
    with. Attentions of different modules side by side, on which the next one depends together, are one step.

    Args:
        above: per attention, the earlier ones that it depends on, as bits.
        names: of the modules that ran them.

    >>> passes([0b0, 0b1, 0b11], ["block", "block", "block"])  # one block, three times in depth
    [0, 0, 0]
    >>> passes([0b0, 0b1, 0b0, 0b100], ["a", "b", "a", "b"])  # two pictures
    [0, 0, 1, 1]
    >>> passes([0b0, 0b0, 0b11, 0b11], ["a", "b", "c", "d"])  # two attentions in each block
    [0, 0, 0, 0]
    """
    found: list[int] = []
    latest: list[list[int]] = []  # of every pass, the attentions of its latest step
    members: list[int] = []
    for at, bits in enumerate(above):
        for number, step in enumerate(latest):
            began_with = above[found.index(number)]
            goes_on = any(bits >> each & 1 for each in step) and not bits & ~members[number] & ~began_with
            beside = bits == above[step[0]] and names[at] not in [names[each] for each in step]
            following = next((later for later in above[at + 1 :] if later), 0)
            if goes_on or (beside and (bits or all(following >> each & 1 for each in (*step, at)))):
                latest[number] = [*step, at] if beside and not goes_on else [at]
                break
        else:
            number = len(latest)
            latest.append([at])
            members.append(0)
        members[number] |= 1 << at
        found.append(number)
    return found


def nodes_before(tensor: Tensor) -> set[Node]:
    """The operations that a tensor came from, as far as they are on the autograd graph."""
    found, left = set[Node](), [tensor.grad_fn] if tensor.grad_fn else []
    while left:
        if (node := left.pop()) not in found:
            found.add(node)
            left += [before for before, _ in node.next_functions if before is not None]
    return found


def chains(outputs: Sequence[Tensor]) -> list[list[int]]:
    """Of what a module gave each time that it ran, which was made from the one before: one block, repeated in depth."""
    found: list[list[int]] = []
    for at, output in enumerate(outputs):
        if at and outputs[at - 1].grad_fn in nodes_before(output):
            found[-1].append(at)
        else:
            found.append([at])
    return found


def _tensors(tree: Any) -> list[Tensor]:
    found, left = list[Tensor](), [tree]
    for each in left:  # grows on the way: this runs at every call of torch's
        if isinstance(each, Tensor):
            found.append(each)
        elif isinstance(each, (tuple, list)):
            left += each
        elif isinstance(each, dict):
            left += each.values()
    return found
