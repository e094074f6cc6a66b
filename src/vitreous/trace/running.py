"""The one place where a model runs: what it raises by itself becomes an error of ours, with what to do."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vitreous.errors import ExplainError, ModelFailed, told
from vitreous.trace.changes import changes
from vitreous.trace.ending import Ending

__all__ = ["run"]

_NO_MEMORY = "can't allocate memory"
"""What torch says of a CPU's, in an error without a class of its own."""


def run(model: nn.Module, images: Tensor) -> Any:
    """What a model returns for some images.

    Raises:
        ModelFailed: it raised something, which is the cause, or takes more inputs than one.
        torch.OutOfMemoryError: there is not enough memory, a CPU's as well.
        ExplainError: whoever watches the run refuses.
    """
    try:
        with changes() as change:
            change.enter(Ending())
            return model(images)
    except (ExplainError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # models raise anything
        if isinstance(error, MemoryError) or _NO_MEMORY in str(error):
            raise torch.OutOfMemoryError(str(error)) from error
        raise _failed(model, images, error) from error


def _failed(model: nn.Module, images: Tensor, error: Exception) -> ModelFailed:
    kind = type(model).__name__
    if isinstance(error, TypeError) and (inputs := _inputs(model.forward)):
        return ModelFailed(
            f"`{kind}` needs the inputs {', '.join(f'`{name}`' for name in inputs)}, and one is explained. Wrap it in "
            "a module whose forward takes that one and holds the others."
        )
    return ModelFailed(
        f"`{kind}` failed on an input of {tuple(images.shape)} {str(images.dtype).removeprefix('torch.')}: "
        f"{told(error)}. Check that it runs on such an input by itself; "
        "`vitreous --debug` shows where it failed."
    )


def _inputs(forward: Callable[..., Any]) -> list[str]:
    """The names of a model's inputs, where it needs another number of them than one."""
    try:
        signature = inspect.signature(forward)
    except ValueError:  # it tells nobody
        return []
    try:
        signature.bind(None)
    except TypeError:
        needed = [each for each in signature.parameters.values() if each.default is each.empty]
        return [each.name for each in needed if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    return []
