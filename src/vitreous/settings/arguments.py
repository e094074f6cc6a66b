"""Arguments of what users call, checked from their annotations before anything is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, wraps
from inspect import Parameter, signature
from types import SimpleNamespace
from typing import Any, ParamSpec, TypeVar, Unpack, get_args, get_origin, get_type_hints

from vitreous.settings.typed import typed_values

__all__ = ["checked", "hints_of"]

P = ParamSpec("P")
R = TypeVar("R")


def checked(*own: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function so that it refuses arguments of other types than its annotations name.

    Whole numbers of any library become `int`, sequences tuples, as `typed` has it.

    Args:
        own: arguments that the function checks by itself, in words of its own.

    Raises:
        UnknownName, ShapeError: of the decorated function, as `typed_fields`.

    >>> @checked()
    ... def drawn(pictures: int) -> int:
    ...     return pictures
    >>> drawn(1.5)
    Traceback (most recent call last):
    vitreous.errors.ShapeError: `pictures` of `drawn` is 1.5. Give a whole number.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        known = signature(function)
        hints = cache(lambda: _hints(function, own))  # not before a call: they may name what comes later

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            given = known.bind(*args, **kwargs)
            for name, value in given.arguments.items():
                if known.parameters[name].kind is Parameter.VAR_KEYWORD:
                    given.arguments[name] = typed_values(hints(), value, f"`{function.__name__}`")
                elif name in hints():
                    given.arguments |= typed_values(hints(), {name: value}, f"`{function.__name__}`")
            return function(*given.args, **given.kwargs)

        call.__dict__["hints"] = hints
        return call

    return decorate


def hints_of(function: Any) -> Mapping[str, Any]:
    """The types of the arguments that a decorated function checks, by name."""
    return function.hints()


def _hints(function: Any, own: tuple[str, ...]) -> Mapping[str, Any]:
    """The types of the arguments that are checked, also of those that `**` stands for."""
    said = {name: hint for name, hint in function.__annotations__.items() if name not in (*own, "return")}
    named = SimpleNamespace(__annotations__=said)
    hints = get_type_hints(named, globalns=function.__globals__, include_extras=True)
    for hint in [each for each in hints.values() if get_origin(each) is Unpack]:
        hints |= get_type_hints(get_args(hint)[0], include_extras=True)
    return hints
