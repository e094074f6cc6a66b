"""Values of the types that annotations name: settings, recipes, plans and cards are all checked here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from numbers import Integral, Real
from reprlib import Repr
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from vitreous.errors import ExplainError, ShapeError, UnknownName

__all__ = [
    "Cells",
    "Count",
    "Passes",
    "Seed",
    "Within",
    "check_settings",
    "shown",
    "typed",
    "typed_fields",
    "typed_values",
    "wanted",
]


@dataclass(frozen=True)
class Within:
    """The least and the largest value of a number, beside its type in an annotation."""

    least: int
    most: int | None = None

    def __contains__(self, number: int | float) -> bool:
        return self.least <= number and (self.most is None or number <= self.most)

    def __str__(self) -> str:
        return f"of at least {self.least}" if self.most is None else f"from {self.least} to {self.most}"


Cells = Annotated[int, Within(1, 1024)]
"""Along a side of a grid."""
Count = Annotated[int, Within(1)]
"""How many."""
Passes = Annotated[int, Within(1, 100_000)]
"""How often a model runs on one picture, or what is held for each run: nobody waits for more, and memory has an end."""
Seed = Annotated[int, Within(0, 2**63 - 1)]
"""What random numbers are made from."""

_MOST = 2**63 - 1
_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a finite number",
    str: "a text",
    bool: "true or false",
    NoneType: "nothing",
    Mapping: "a table",
}
_MANY: dict[Any, str] = {int: "whole numbers", float: "finite numbers", str: "texts", bool: "truth values"}
_NUMERALS = {2: "two", 3: "three", 4: "four"}
_short = Repr()
_short.maxstring = _short.maxother = 80


def shown(value: object) -> str:
    """A value of any origin, short enough for a sentence.

    >>> shown("a" * 1000)[:3], len(shown("a" * 1000))
    ("'aa", 80)
    """
    return _short.repr(value)


def typed(hint: Any, value: Any) -> Any:
    """A value as its annotation has it: lists become tuples, whole numbers floats where these are wanted.

    Numbers are finite; a truth value is no number. Of a class, instances fit; of a dataclass, its fields by name too.

    Raises:
        TypeError: it is of another type.

    >>> typed(tuple[float, ...], [1, 2.5])
    (1.0, 2.5)
    """
    origin, inner = get_origin(hint), get_args(hint)
    maker = _MAKERS.get(origin or hint)
    if maker:
        return maker(inner, value)
    if is_dataclass(hint) and isinstance(value, Mapping):
        return _made(hint, value)
    kind = origin or hint
    return _if(not isinstance(kind, type) or isinstance(value, kind), value)


def wanted(hint: Any) -> str:
    """What an annotation asks for, in words.

    >>> wanted(tuple[int, int]), wanted(Count), wanted(str | None)
    ('two whole numbers', 'a whole number of at least 1', 'a text or nothing')
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return " ".join([wanted(inner[0]), *map(str, inner[1:])])
    if origin in (Union, UnionType):
        return " or ".join(map(wanted, inner))
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin is tuple or origin is Sequence:
        many = _MANY.get(inner[0], "values")
        return f"a list of {many}" if origin is Sequence or inner[-1] is ... else f"{_NUMERALS[len(inner)]} {many}"
    if is_dataclass(hint):
        return "a section"
    return _WORDS.get(origin or hint, f"a `{getattr(hint, '__name__', hint)}`")


def typed_fields(
    kind: Any, values: Mapping[str, Any], owner: str, error: type[ExplainError] = ShapeError
) -> dict[str, Any]:
    """Values for fields of a dataclass, as its annotations have them.

    Args:
        kind: the dataclass; what is none, or has annotations that cannot be resolved, takes any values.
        values: by the name of the field.
        owner: what they are settings of, for the message.
        error: what is raised.

    Raises:
        UnknownName: a value is not among those that a `Literal` lists.
        ExplainError: `error`, of a value of another type or a number that is not finite.
    """
    return typed_values(_hints(kind), values, owner, error)


def typed_values(
    hints: Mapping[str, Any], values: Mapping[str, Any], owner: str, error: type[ExplainError] = ShapeError
) -> dict[str, Any]:
    """Values by name as their annotations have them; those without one stay. Arguments and errors as `typed_fields`."""
    made: dict[str, Any] = {}
    for name, value in values.items():
        hint = hints.get(name, Any)
        try:
            made[name] = typed(hint, value)
        except TypeError:
            if get_origin(hint) is Literal and isinstance(value, str | int):
                raise UnknownName(f"value of `{name}`", str(value), map(str, get_args(hint))) from None
            raise error(f"`{name}` of {owner} is {shown(value)}. Give {wanted(hint)}.") from None
    return made


def check_settings(record: Any) -> None:
    """Refuse a dataclass whose fields are not what its annotations say.

    Raises:
        UnknownName, ShapeError: as `typed_fields`.
    """
    if is_dataclass(record):
        values = {item.name: getattr(record, item.name) for item in fields(record)}
        typed_fields(type(record), values, f"`{type(record).__name__}`")


def _hints(kind: Any) -> dict[str, Any]:
    if not is_dataclass(kind):
        return {}
    try:
        return get_type_hints(kind, include_extras=True)
    except NameError:  # annotations that only a type checker can read
        return {}


def _made(kind: Any, values: Mapping[str, Any]) -> Any:
    hints = get_type_hints(kind, include_extras=True)
    if values.keys() - hints:
        raise TypeError
    return kind(**{name: typed(hints[name], value) for name, value in values.items()})


def _if(fits: bool, value: Any) -> Any:
    if not fits:
        raise TypeError
    return value


def _limited(hints: Sequence[Any], value: Any) -> Any:
    made = typed(hints[0], value)
    return _if(all(made in limit for limit in hints[1:] if isinstance(limit, Within)), made)


def _first_fit(hints: Sequence[Any], value: Any) -> Any:
    for hint in hints:
        try:
            return typed(hint, value)
        except TypeError:
            continue
    raise TypeError


def _among(allowed: Sequence[Any], value: Any) -> Any:
    return _if(any(type(each) is type(value) and each == value for each in allowed), value)


def _whole(_: Sequence[Any], value: Any) -> int:
    number = int(_if(type(value) is not bool and isinstance(value, Integral), value))
    return _if(abs(number) <= _MOST, number)


def _number(_: Sequence[Any], value: Any) -> float:
    try:
        number = float(_if(type(value) is not bool and isinstance(value, Real), value))
    except OverflowError:
        raise TypeError from None
    return _if(math.isfinite(number), number)


def _row(hints: Sequence[Any], value: Any) -> tuple[Any, ...]:
    fits = isinstance(value, list | tuple) and (hints[-1] is ... or len(hints) == len(value))
    return tuple(typed(hints[0], each) for each in _if(fits, value))


def _sequence(hints: Sequence[Any], value: Any) -> tuple[Any, ...]:
    fits = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
    return tuple(typed(hints[0], each) for each in _if(fits, value))


def _table(hints: Sequence[Any], value: Any) -> dict[Any, Any]:
    items = _if(isinstance(value, Mapping), value).items()
    return {typed(hints[0], key): typed(hints[1], each) for key, each in items}


_MAKERS: dict[Any, Callable[[Sequence[Any], Any], Any]] = {
    Any: lambda _, value: value,
    Annotated: _limited,
    Union: _first_fit,
    UnionType: _first_fit,
    Literal: _among,
    int: _whole,
    float: _number,
    tuple: _row,
    Sequence: _sequence,
    Mapping: _table,
}
"""What makes the value, from the annotation's arguments: of these types values are made, of others only checked."""
