"""How a model is to be read, where it cannot be told from the model alone: `with reading(Reading(…)): …`."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from vitreous.errors import UnknownName

__all__ = ["LINKS", "Output", "Reading", "current_reading", "link_of", "reading"]

LINKS = ("softmax", "sigmoid", "identity")
"""What class scores stand for: odds among classes, odds of each class alone, or values of a regression."""

Output = str | int | Callable[[Any], Tensor]
"""Where the class scores are in what a model returns: under a name, at an index, or what a function makes of it."""


@dataclass(frozen=True)
class Reading:
    """How a model is to be read.

    Attributes:
        output: which of a model's outputs the class scores are; None where there is only one that they could be.
        link: one of `LINKS`; None for what their number says, as in `link_of`.
        part: dotted name of the module whose attention, blocks and layers are read; "" for the whole model.
        call: which pass through it, from 0; None where there is only one.
        grid: (height, width) of the patches; None to measure it.
        patches: which of the tokens are patches, row by row; None to measure it.
    """

    output: Output | None = None
    link: str | None = None
    part: str = ""
    call: int | None = None
    grid: tuple[int, int] | None = None
    patches: slice | tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse a link that there is not.

        Raises:
            UnknownName: it is none of `LINKS`.
        """
        if self.link is not None and self.link not in LINKS:
            raise UnknownName("link", self.link, LINKS)

    def to_json(self) -> dict[str, Any]:
        """It in plain values, for a manifest; of a function, its name, and of a slice, its three numbers."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        which = self.patches
        shown = [which.start, which.stop, which.step] if isinstance(which, slice) else which
        return values | {"output": getattr(self.output, "__qualname__", self.output), "patches": shown}


_CURRENT = ContextVar("reading", default=Reading())  # noqa: B039  # frozen


def current_reading() -> Reading:
    """The innermost block's; outside of all, the one that takes nothing for granted."""
    return _CURRENT.get()


@contextmanager
def reading(how: Reading) -> Generator[None]:
    """Read every model like this until the block ends; then as before it.

    >>> with reading(Reading(link="sigmoid")):
    ...     current_reading().link
    'sigmoid'
    >>> current_reading().link
    """
    token = _CURRENT.set(how)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def link_of(scores: int) -> str:
    """What so many scores stand for: as the block says, or else the softmax of several, the sigmoid of one."""
    return current_reading().link or ("softmax" if scores > 1 else "sigmoid")
