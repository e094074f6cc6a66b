"""Things by name: out of a list, or a class of one's own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from importlib import import_module
from inspect import signature
from typing import Any, TypeVar, cast

from vitreous.errors import UnknownName
from vitreous.settings.typed import typed_fields

__all__ = ["Listed", "find", "is_own", "make", "own"]

T = TypeVar("T", bound=type)


class Listed(MutableMapping[str, T]):
    """Classes by name, each imported when it is asked for: the names alone cost nothing."""

    def __init__(self, package: str, homes: Mapping[str, str]) -> None:
        """Each name's "module:Class" in the package."""
        self._found = dict[str, T]()
        self._homes = {name: f"{package}.{home}" for name, home in homes.items()}

    def __getitem__(self, name: str) -> T:
        if name not in self._found:
            module, attribute = self.home(name)
            self._found[name] = cast("T", getattr(import_module(module), attribute))
        return self._found[name]

    def __setitem__(self, name: str, made: T) -> None:
        self._homes[name], self._found[name] = f"{made.__module__}:{made.__qualname__}", made

    def __delitem__(self, name: str) -> None:
        del self._homes[name]
        self._found.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)

    def home(self, name: str) -> tuple[str, str]:
        """The module and the class of that name, which this does not import."""
        module, _, attribute = self._homes[name].partition(":")
        return module, attribute


def find(kind: str, name: str, known: Mapping[str, Any], is_one: Callable[[Any], bool]) -> Any:
    """What makes the thing of that name.

    Args:
        kind: what it is, in a word.
        name: one of `known`, or "package.module:Name". Importing the module runs its code, so no name that was read
            from a file may be one of these.
        known: the list.
        is_one: whether a class or a function makes such things.

    Raises:
        UnknownName: there is no such name, or what it names makes something else.
    """
    if name in known:
        return known[name]
    found = own(name) if ":" in name else None
    if found is None or not is_one(found):
        raise UnknownName(kind, name, [*known, "package.module:Name"] if ":" in name else known)
    return found


def own(name: str) -> Any:
    """What "package.module:Name" is; None where there is no such thing."""
    module, _, attribute = name.partition(":")
    try:
        return getattr(import_module(module), attribute, None)
    except (ImportError, TypeError, ValueError):  # the last two of a name that is no module's
        return None


def is_own(name: str) -> bool:
    """Whether a name is one of a module: what stands before its first colon holds a dot, and is no address.

    >>> is_own("package.module:Name"), is_own("perturbation:rise"), is_own("s3://a.b/c")
    (True, False, False)
    """
    return re.match(r"\w+(\.\w+)+:(?!//)", name) is not None


def make(maker: Callable[..., Any], name: str, settings: Mapping[str, Any]) -> Any:
    """One of them with its settings, in the types of their annotations.

    Raises:
        UnknownName: there is no such setting or choice.
        ShapeError: a setting is of another type than its annotation says.
    """
    known = list(signature(maker).parameters)
    for setting in settings:
        if setting not in known:
            raise UnknownName(f"setting of `{name}`", setting, known or ["(it has none)"])
    return maker(**typed_fields(maker, settings, f"`{name}`"))
