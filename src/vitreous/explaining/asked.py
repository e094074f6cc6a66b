"""What a user asks `explain` for: methods by name or as they are, with settings by name; names of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vitreous.errors import DataError, ShapeError, UnknownName
from vitreous.files.reading import read_bytes
from vitreous.methods import make_method, setting_names
from vitreous.methods.method import Method
from vitreous.settings.rows import by_row
from vitreous.settings.typed import shown
from vitreous.shapes import MOST_CLASSES, Logits

__all__ = ["Several", "asked_methods", "check_class_names", "read_class_names"]

Several = list[str] | tuple[str, ...] | Mapping[str, str | Method]
"""Methods by name, or by names of yours."""


def asked_methods(
    method: str | Method | Several, settings: Mapping[str, Any], more: Mapping[str, Any], arguments: Sequence[str]
) -> dict[str, Method]:
    """The methods by name; one that is alone has none.

    Args:
        method: one or several.
        settings: NAME of all that are given by name, ROW.NAME of one of them.
        more: likewise, as keyword arguments.
        arguments: what keyword arguments could have been meant beside settings.

    Raises:
        ShapeError: there are none, or settings of methods that have theirs.
        UnknownName: there is no such method, setting or row.
    """
    if not isinstance(method, list | tuple | Mapping):
        name = method if isinstance(method, str) else ""
        made = asked_methods({name: method}, settings, more, arguments)
        return {"": made[name]}
    if not method:
        raise ShapeError("`method` is empty. Name at least one of vitreous.METHODS.")
    given: Sequence[Any] = [*method.values()] if isinstance(method, Mapping) else method
    if wrong := [each for each in given if not isinstance(each, str | Method)]:
        raise ShapeError(f"{shown(wrong[0])} is no method. Give a name of vitreous.METHODS, or a method object.")
    several = method if isinstance(method, Mapping) else dict(zip(method, method, strict=True))
    named = {row: each for row, each in several.items() if isinstance(each, str)}
    if not named and (unused := [*settings, *more]):
        raise ShapeError(
            f"`{unused[0]}` is given as a setting, and no method by its name: those that are given have theirs. Give "
            'the name, method="rise", or make the method with it.'
        )
    for setting in more:
        if all(setting not in setting_names(each) for each in named.values()):
            known = [name for each in named.values() for name in setting_names(each)]
            raise UnknownName("argument of `explain` or setting of its method", setting, [*known, *arguments])
    values = by_row([*settings.items(), *more.items()], named)
    return {row: make_method(each, **values[row]) if isinstance(each, str) else each for row, each in several.items()}


def read_class_names(names: Sequence[str] | str | Path) -> tuple[str, ...]:
    """Names of classes as they are given, or from a text file with one a line.

    Raises:
        DataError: the file cannot be read, or a line between others is empty.
    """
    if not isinstance(names, str | Path):
        return tuple(names)
    remedy = "Give a text file with one name a line, in the order of the model's scores."
    try:
        text = read_bytes(Path(names), remedy).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"`{names}` is no text in UTF-8. {remedy}") from None
    lines = [line.strip() for line in text.rstrip().splitlines()]
    if not lines or not all(lines) or len(lines) > MOST_CLASSES:
        empty = f"line {lines.index('') + 1} is empty" if "" in lines else f"it has {len(lines):,} lines"
        raise DataError(f"`{names}` holds no names of classes: {empty}. {remedy}")
    return tuple(lines)


def check_class_names(names: Sequence[str], logits: Logits | None) -> None:
    """Refuse names that are fewer or more than the scores, of a model that has scores.

    Raises:
        ShapeError: they are.
    """
    if names and logits is not None and len(names) != (scores := logits.shape[1]):
        raise ShapeError(f"there are {len(names)} `class_names` for {scores} classes. Give one for each.")
