"""Shape annotations of the package are checked while tests run, at a price that hundreds of hooks can pay."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import random
import re
from collections.abc import Callable, Hashable
from types import CodeType, FunctionType
from typing import Any

import jaxtyping
import torch
from torch import Tensor

__all__ = ["check_shapes", "checked"]

_jaxtyped = jaxtyping.jaxtyped


def check_shapes(package: str) -> None:
    """Check the types of every call of a function with shapes in the package, which must not be imported yet.

    The checker picks at random which item of a sequence it looks at: of its own numbers, as the package notices who
    draws from Python's.
    """
    shared, random.getrandbits = random.getrandbits, random.Random(0).getrandbits
    importlib.import_module("beartype.door")
    random.getrandbits = shared
    jaxtyping.jaxtyped = checked  # what the import hook decorates everything with
    jaxtyping.install_import_hook(package, "beartype.beartype")


def checked(*, typechecker: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What the import hook decorates with: functions and records with shapes; pyright has read the types of others.

    To decorate one takes milliseconds, and hooks are made anew by the hundred in every pass.
    """

    def decorate(what: Any) -> Any:
        if isinstance(what, FunctionType):
            return _Shapes(what, typechecker).checking() if _has_shapes(what) else what
        if isinstance(what, property):
            return property(*(each and decorate(each) for each in (what.fget, what.fset, what.fdel)))
        if isinstance(what, classmethod | staticmethod):
            return type(what)(decorate(what.__func__))
        if dataclasses.is_dataclass(what) and "__init__" in vars(what):
            what.__init__ = decorate(what.__init__)
        return what

    return decorate


class _Shapes:
    """A function, and the shapes for which its annotations hold: whoever calls it with these again is believed.

    To check one call takes as long as a layer of a tiny model.
    """

    def __init__(self, function: FunctionType, typechecker: Callable[[Any], Any]) -> None:
        self.function = function
        self.held: dict[Hashable, set[Hashable]] = _held.setdefault(function.__code__, {})
        self.typechecker = typechecker

    def checking(self) -> Callable[..., Any]:
        @functools.wraps(self.function)
        def call(*args: Any, **kwargs: Any) -> Any:
            given = _shapes((args, kwargs))
            if given not in self.held:
                result = self.of_every_call(*args, **kwargs)
                self.held[given] = {_shapes(result)}
                return result
            result = self.function(*args, **kwargs)
            if (made := _shapes(result)) not in self.held[given]:
                _jaxtyped(self.giving(result), typechecker=self.typechecker)(*args, **kwargs)
                self.held[given].add(made)
            return result

        return call

    @functools.cached_property
    def of_every_call(self) -> Callable[..., Any]:
        return _jaxtyped(self.function, typechecker=self.typechecker)

    def giving(self, result: Any) -> FunctionType:
        """A function with the annotations of this one that gives this result."""

        def give(*_: Any, **__: Any) -> Any:
            return result

        stub = FunctionType(give.__code__, self.function.__globals__, closure=give.__closure__)
        return functools.update_wrapper(stub, self.function)


_held: dict[CodeType, dict[Hashable, set[Hashable]]] = {}
"""By function, for arguments of which shapes and types its annotations held, and with which results."""


def _shapes(value: Any) -> Hashable:
    """All that an annotation with shapes can tell apart."""
    # no watched run is to see that a tensor is asked for its shape
    with torch._C.DisableTorchFunction():
        return _shapes_in(value)


def _shapes_in(value: Any) -> Hashable:
    if isinstance(value, Tensor):
        return type(value), value.shape, value.dtype
    if isinstance(value, tuple | list):
        return type(value), *map(_shapes_in, value)
    if isinstance(value, dict):
        return type(value), *((key, _shapes_in(each)) for key, each in value.items())
    return type(value)


def _has_shapes(function: FunctionType) -> bool:
    """Whether an annotation, still a string, holds a shape or the name of one."""
    code = function.__code__
    if code not in _with_shapes:
        text = " ".join(map(str, function.__annotations__.values()))
        names = re.findall(r"\w+", text)
        _with_shapes[code] = "[Tensor," in text or any(
            hasattr(function.__globals__.get(name), "dim_str") for name in names
        )
    return _with_shapes[code]


_with_shapes: dict[CodeType, bool] = {}
