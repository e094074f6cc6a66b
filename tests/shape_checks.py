"""Shape annotations of the package are checked while tests run, at a price that hundreds of hooks can pay."""

from __future__ import annotations

import importlib
import random
import re
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

import jaxtyping

__all__ = ["check_shapes"]

_jaxtyped = jaxtyping.jaxtyped


def check_shapes(package: str) -> None:
    """Check the types of every call of a function with shapes in the package, which must not be imported yet.

    The checker picks at random which item of a sequence it looks at: of its own numbers, as the package notices who
    draws from Python's.
    """
    shared, random.getrandbits = random.getrandbits, random.Random(0).getrandbits
    importlib.import_module("beartype.door")
    random.getrandbits = shared
    jaxtyping.jaxtyped = _checked  # what the import hook decorates everything with
    jaxtyping.install_import_hook(package, "beartype.beartype")


def _checked(*, typechecker: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Functions without shapes are left as they are: pyright has read their types.

    To decorate one takes milliseconds, and hooks are made anew by the hundred in every pass.
    """

    def decorate(function: Any) -> Any:
        if isinstance(function, FunctionType):
            code = function.__code__
            if code not in _with_shapes:
                _with_shapes[code] = _has_shapes(function)
            if not _with_shapes[code]:
                return function
        return _jaxtyped(function, typechecker=typechecker)

    return decorate


_with_shapes: dict[CodeType, bool] = {}


def _has_shapes(function: FunctionType) -> bool:
    """Whether an annotation, still a string, holds a shape or the name of one."""
    text = " ".join(map(str, function.__annotations__.values()))
    names = re.findall(r"\w+", text)
    return "[Tensor," in text or any(hasattr(function.__globals__.get(name), "dim_str") for name in names)
