"""Frozen records as TOML: read with the types that their fields name, written, and kept in range."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from math import isfinite
from pathlib import Path
from typing import Any, get_args, get_type_hints

from vitreous.errors import DataError, UnknownName
from vitreous.files.reading import read_toml
from vitreous.settings.typed import typed_fields
from vitreous.training.listing import near_settings

__all__ = ["check_range", "make_record", "read_record", "write_record"]


def check_range(record: Any, least: float, most: float, *names: str) -> None:
    """Refuse fields, numbers or rows of them, outside a range.

    Raises:
        DataError: one is.
    """
    for name in names:
        value = getattr(record, name)
        if not all(least <= each <= most for each in (value if isinstance(value, tuple) else (value,))):
            span = f"from {least:g} to {most:g}" if isfinite(most) else f"of at least {least:g}"
            raise DataError(f"`{name}` is {value}. Give {'values' if isinstance(value, tuple) else 'a value'} {span}.")


def read_record(kind: Any, path: Path) -> Any:
    """The frozen record of that kind in a TOML file. Raises as `read_recipe`."""
    return make_record(kind, read_toml(path, "recipe"), path)


def write_record(values: Mapping[str, Any]) -> str:
    """The plain values of a record as the TOML that `read_record` reads."""
    return "\n".join(_toml(values)) + "\n"


def make_record(
    kind: Any, values: Mapping[str, Any], path: Path, section: str = "the recipe", whole: Any = None
) -> Any:
    """The frozen record of that kind with plain values; what they do not set has its default.

    Args:
        kind: a dataclass.
        values: by the names of its fields.
        path: where they were read, for messages.
        section: what they are, likewise.
        whole: the kind of record that it is part of.

    Raises:
        DataError: a value is missing or of another type.
        UnknownName: one is set that does not exist.
    """
    known = [item.name for item in fields(kind)]
    hints = get_type_hints(kind)
    made: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            near = near_settings(whole or kind, name)
            raise UnknownName(f"recipe setting in {path.name}", name, known, near=near)
        inner = next(filter(is_dataclass, get_args(hints[name])), hints[name])  # of an optional section
        if is_dataclass(inner) and isinstance(value, Mapping):
            made[name] = make_record(inner, value, path, f"[{name}]", whole or kind)
        else:
            made |= typed_fields(kind, {name: value}, f"{section} in {path}", DataError)
    for item in fields(kind):
        if item.default is item.default_factory and item.name not in made:  # neither is given
            raise DataError(f"{path} does not set `{item.name}` of {section}. Add it.")
    return kind(**made)


def _toml(values: Mapping[str, Any], section: str = "") -> Iterator[str]:
    """TOML, line by line: a record's own settings, then its sections. JSON writes numbers, texts and lists alike."""
    if section:
        yield f"\n[{section}]"
    for name, value in values.items():
        if not isinstance(value, Mapping | None):
            yield f"{name} = {json.dumps(value, ensure_ascii=False)}"
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _toml(value, f"{section}.{name}" if section else name)
