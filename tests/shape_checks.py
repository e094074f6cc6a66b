"""Shape annotations of the package are checked while tests run, at a price that hundreds of hooks can pay."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import FunctionType
from typing import Any

import jaxtyping

__all__ = ["check_shapes"]

_jaxtyped = jaxtyping.jaxtyped


def check_shapes(package: str) -> None:
    """Check the types of every call into the package, which must not be imported yet."""
    jaxtyping.jaxtyped = _checked  # what the import hook decorates everything with
    jaxtyping.install_import_hook(package, "beartype.beartype")


def _checked(*, typechecker: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Of a function without shapes plain types are checked, which is quick.

    Not even these of one that each call makes anew: decorating takes milliseconds, and there are hundreds in one pass.
    """

    def decorate(function: Any) -> Any:
        if not isinstance(function, FunctionType) or _has_shapes(function):
            return _jaxtyped(function, typechecker=typechecker)
        return function if "<locals>" in function.__qualname__ else typechecker(function)

    return decorate


def _has_shapes(function: FunctionType) -> bool:
    """Whether an annotation, still a string, holds a shape or the name of one."""
    words = set(re.findall(r"\w+", " ".join(map(str, function.__annotations__.values()))))
    return any(word == "Tensor" or hasattr(function.__globals__.get(word), "dim_str") for word in words)
