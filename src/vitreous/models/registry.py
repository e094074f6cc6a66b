"""timm's registry, with the architectures of this package in it."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from types import ModuleType
from typing import Any

from vitreous.errors import ExplainError, ModelError, first_sentence
from vitreous.models.nearest import unknown_model

__all__ = ["build", "registry"]


def registry() -> ModuleType:
    """Timm itself, once ours are registered; importing it takes seconds, so it waits until a model is named.

    >>> registry().is_model("salg_st"), registry().is_model("winft_tiny")
    (True, True)
    """
    import timm

    from vitreous.models.salg import backbone  # noqa: F401  # pyright: ignore[reportUnusedImport] - registers
    from vitreous.models.winft import backbone as _  # noqa: F401  # pyright: ignore[reportUnusedImport] - registers

    return timm


def build(architecture: str, arguments: Mapping[str, Any], **more: Any) -> Any:
    """An architecture of the registry, with random weights, made with the arguments and more.

    Raises:
        UnknownName: it is not in there.
        ModelError: it does not take these arguments, or one would load something.
    """
    timm = registry()
    if not timm.is_model(architecture):
        raise unknown_model("architecture", architecture, timm.list_models())
    if reserved := [name for name in arguments if name in _reserved(timm)]:
        raise ModelError(
            f"the arguments of `{architecture}` set `{reserved[0]}`, which reads weights or code from elsewhere. "
            "Leave it out: they are for the architecture alone."
        )
    try:
        return timm.create_model(architecture, **arguments, **more)
    except ExplainError:
        raise
    except Exception as error:  # constructors raise anything
        raise ModelError(
            f"`{architecture}` cannot be built with these arguments: {first_sentence(error)}. Correct them."
        ) from error


def _reserved(timm: ModuleType) -> set[str]:
    """What `timm.create_model` takes for itself: pretrained weights, files that may hold code, wrappers."""
    return {*signature(timm.create_model).parameters} - {"kwargs"} | {"pretrained_strict", "pretrained_filter_fn"}
