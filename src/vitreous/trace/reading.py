"""How a model is to be read, where it cannot be told from the model alone: `with reading(Reading(…)): …`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields, replace
from typing import Any, TypedDict, Unpack

from torch import Tensor

from vitreous.errors import ShapeError, UnknownName

__all__ = ["LINKS", "Output", "Reading", "Said", "as_scores", "current_reading", "link_of", "link_read", "reading"]

LINKS = ("softmax", "sigmoid", "identity")
"""What class scores stand for: odds among classes, odds of each class alone, or values of a regression."""

Output = str | int | Callable[[Any], Tensor]
"""Where the class scores are in what a model returns: under a name, at an index, or what a function makes of it."""


class Said(TypedDict, total=False):
    """What somebody says of a `Reading`, None being nothing: the keyword arguments of all that take a model."""

    output: Output | None
    link: str | None
    part: str | None
    call: int | None
    grid: tuple[int, int] | None
    patches: slice | Sequence[int] | str | None


@dataclass(frozen=True)
class Reading:
    """How a model is to be read.

    Attributes:
        output: which of a model's outputs the class scores are, a negative index counting from the end; None where
            there is only one that they could be.
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
        """Refuse what cannot be.

        Raises:
            UnknownName: the link is none of `LINKS`.
            ShapeError: a call below 0, a grid without a height and a width.
        """
        if self.link is not None and self.link not in LINKS:
            raise UnknownName("link", self.link, LINKS, remedy="Say one of these by link= (--link), or nothing.")
        if self.call is not None and self.call < 0:
            raise ShapeError(f"`call` is {self.call}. Count the passes from 0.")
        if self.grid is not None and (len(self.grid) != 2 or min(self.grid) < 1):
            raise ShapeError(f"`grid` is {self.grid}, no (height, width) in patches. Give two whole numbers above 0.")

    def but(self, **said: Unpack[Said]) -> Reading:
        """The same, but for what is said; patches also as text, FIRST:END or places with commas between.

        Raises:
            UnknownName, ShapeError: it cannot be.

        >>> Reading(link="sigmoid").but(patches="1:", link=None)
        Reading(output=None, link='sigmoid', part='', call=None, grid=None, patches=slice(1, None, None))
        """
        known = [item.name for item in fields(self)]
        if unknown := [name for name in said if name not in known]:
            raise UnknownName("argument", unknown[0], known)
        new: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
        if "patches" in new:
            new["patches"] = _places(new["patches"])
        return replace(self, **new) if new else self

    def said(self) -> Said:
        """What it says, for `but` or `load`."""
        values: Any = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in values.items() if value not in (None, "")}  # type: ignore[return-value]

    def to_json(self) -> dict[str, Any]:
        """It in plain values, for a manifest; of a function, its name, and of a slice, its text."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        which = self.patches
        if isinstance(which, slice):
            ends = [which.start, which.stop] + ([which.step] if which.step else [])
            values["patches"] = ":".join("" if end is None else str(end) for end in ends)
        return values | {"output": getattr(self.output, "__qualname__", self.output)}


def _places(patches: slice | Sequence[int] | str) -> slice | tuple[int, ...]:
    if not isinstance(patches, str):
        return patches if isinstance(patches, slice) else tuple(patches)
    try:
        if ":" not in patches:
            return tuple(int(place) for place in patches.split(","))
        return slice(*(int(end) if end.strip() else None for end in patches.split(":")))
    except (ValueError, TypeError):  # slice() takes three
        raise ShapeError(
            f"`patches` is {patches!r}. Give a range of the tokens, FIRST:END, or their places with commas between."
        ) from None


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


_AS_SCORES = ContextVar("as scores", default=False)


@contextmanager
def as_scores() -> Generator[None]:
    """Until the block ends, take class scores for themselves, and not for what they stand for: a function is of them.

    >>> with as_scores():
    ...     link_of(10)
    'identity'
    """
    token = _AS_SCORES.set(True)
    try:
        yield
    finally:
        _AS_SCORES.reset(token)


def link_of(scores: int) -> str:
    """What so many scores are measured as: themselves within `as_scores`, else as `link_read` says."""
    return "identity" if _AS_SCORES.get() else link_read(scores)


def link_read(scores: int) -> str:
    """What so many scores stand for: as the block says, or else the softmax of several, the sigmoid of one."""
    return current_reading().link or ("softmax" if scores > 1 else "sigmoid")
