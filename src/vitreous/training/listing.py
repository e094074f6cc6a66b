"""Every setting of a recipe in a line, out of the docstrings, and those that an unknown name may have meant."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from difflib import get_close_matches
from inspect import getdoc
from typing import Any, get_args, get_type_hints

__all__ = ["Setting", "described", "near_settings", "settings"]


@dataclass(frozen=True)
class Setting:
    """A line of the list.

    Attributes:
        section: the table that it stands in; empty at the top.
        name: what it is called there.
        default: as TOML; empty where the recipe must set it, or where it has none.
        about: what it does.
    """

    section: str
    name: str
    default: str
    about: str

    def __str__(self) -> str:
        return f"[{self.section}] {self.name}" if self.section else self.name


def settings(kind: Any, section: str = "") -> Iterator[Setting]:
    """The settings of a recipe, those at the top first.

    >>> from vitreous.training.recipe import Optimizer
    >>> next(settings(Optimizer, "optimizer"))
    Setting(section='optimizer', name='name', default='"adamw"', about='"adamw" or "sgd".')
    """
    sections = _sections(kind)
    about = described(kind)
    for item in fields(kind):
        if item.name not in sections:
            yield Setting(section, item.name, _default(item), about.get(item.name, ""))
    for name, inner in sections.items():
        yield from settings(inner, f"{section}.{name}" if section else name)


def near_settings(kind: Any, name: str) -> list[str]:
    """Settings and tables that a name may have meant: written alike, in whatever table, or about all of its words.

    >>> from vitreous.training.recipe import Recipe
    >>> near_settings(Recipe, "learning_rate")
    ['[optimizer] lr']
    """
    known = {str(each): each for each in settings(kind)}
    tables = {f"[{table}]": table for table in _sections(kind)}
    names = {label: each.name for label, each in known.items()} | tables
    alike = get_close_matches(name, set(names.values()), n=3)
    found = [label for close in alike for label, own in names.items() if own == close]
    words = name.replace("_", " ").lower()
    return found or [label for label, each in known.items() if words in each.about.lower()][:3]


def _sections(kind: Any) -> dict[str, Any]:
    """The fields that are tables, optional or not, and what they hold."""
    hints = get_type_hints(kind)
    inner = {
        item.name: next(filter(is_dataclass, get_args(hints[item.name])), hints[item.name]) for item in fields(kind)
    }
    return {name: hint for name, hint in inner.items() if is_dataclass(hint)}


def described(kind: Any) -> dict[str, str]:
    """The lines under `Attributes:`, each setting's on one."""
    _, _, listed = (getdoc(kind) or "").partition("Attributes:\n")
    lines = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", listed, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in lines}


def _default(item: Field[Any]) -> str:
    if item.default is not MISSING:
        return json.dumps(item.default, ensure_ascii=False)
    return ""
