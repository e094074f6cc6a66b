"""Networks that are built for weights at hand, and so have no business being much larger than these."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.nn.modules.module import register_module_parameter_registration_hook

from vitreous.errors import ModelError

__all__ = ["no_larger_than"]

_FREE, _TIMES = 2**20, 4
"""A network may have so many numbers in any case, and beyond so many times those of its weights."""


@contextmanager
def no_larger_than(weights: Mapping[str, Tensor], name: str) -> Generator[None]:
    """Inside the block, a network that this thread builds stops growing where it no longer fits its weights.

    Args:
        weights: that it is built for.
        name: of what says how it is built, for the message.

    Raises:
        ModelError: it has far more numbers than these; before memory is taken for them.
    """
    numbers, thread, seen = sum(each.numel() for each in weights.values()), threading.get_ident(), 0

    def count(_module: Any, _name: str, parameter: Any) -> None:
        nonlocal seen
        if parameter is None or threading.get_ident() != thread:
            return
        seen += parameter.numel()
        if seen > max(_FREE, _TIMES * numbers):
            raise ModelError(
                f"`{name}` asks for a network of more than {seen:,} numbers, and its weights have {numbers:,}. Train "
                "or save the model again."
            )

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
