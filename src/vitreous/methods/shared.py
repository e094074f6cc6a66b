"""Methods whose map follows from one observation of the model: those that read the same can share it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import ClassVar, Generic, TypeVar

import torch
from torch import nn

from vitreous.errors import ExplainError
from vitreous.masking.forward import Progress
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Method, SlowMethod
from vitreous.shapes import Images
from vitreous.trace.target import Predicted, Target

__all__ = ["NO_MEMORY", "Failure", "FromObservation", "explain_each", "reason"]

T = TypeVar("T")

Failure = ExplainError | torch.OutOfMemoryError
"""Why there is no explanation."""

NO_MEMORY = "there is not enough memory. Run again with more of it, or with smaller batches."
"""Why a method gave no map that it may give another time."""


def reason(error: Failure) -> str:
    """What to say of it to who gave a single picture."""
    return NO_MEMORY if isinstance(error, torch.OutOfMemoryError) else error.alone


class FromObservation(ABC, Generic[T]):
    """A method that is a function of one observation and a target: a base of its dataclass."""

    source: ClassVar[str]

    @property
    @abstractmethod
    def observation(self) -> Callable[[nn.Module, Images], T]:
        """What runs the model. Methods share what it gives where it is equal, so it must be hashable."""

    @abstractmethod
    def of(self, seen: T, target: Target) -> Explanation:
        """Explain what was observed; it may be asked of the same observation again."""

    def __call__(self, model: nn.Module, images: Images, target: Target = Predicted()) -> Explanation:  # noqa: B008
        """Explain a batch of normalised images."""
        return self.of(self.observation(model, images), target)


def explain_each(
    methods: Mapping[str, Method],
    model: nn.Module,
    images: Images,
    target: Target,
    *,
    progress: Progress | None = None,
) -> dict[str, Explanation | Failure]:
    """Explain a batch by several methods, each observation made once for all that read it.

    Args:
        methods: by name.
        model: comes back as it was.
        images: normalised.
        target: what to explain.
        progress: told by slow methods how far they are.

    Returns:
        by the same names in the same order, the explanation or why there is none.

    Cost: of methods with the same observation one of it, and what each makes of it; one observation is in memory at a
    time.
    """
    groups: dict[Hashable, dict[str, Method]] = {}
    for name, method in methods.items():
        groups.setdefault(method.observation if isinstance(method, FromObservation) else name, {})[name] = method
    found: dict[str, Explanation | Failure] = {}
    for group in groups.values():
        found |= _explain_group(group, model, images, target, progress)
    return {name: found[name] for name in methods}


def _explain_group(
    methods: Mapping[str, Method], model: nn.Module, images: Images, target: Target, progress: Progress | None
) -> dict[str, Explanation | Failure]:
    """Explain by one method, or by several that read the same."""
    ((name, first), *_) = methods.items()
    if not isinstance(first, FromObservation):
        told = {"progress": progress} if isinstance(first, SlowMethod) else {}
        return {name: _tried(partial(first, model, images, target, **told))}
    seen = _tried(partial(first.observation, model, images))
    if isinstance(seen, Failure):
        return dict.fromkeys(methods, seen)
    readers = {name: method for name, method in methods.items() if isinstance(method, FromObservation)}
    return {name: _tried(partial(method.of, seen, target)) for name, method in readers.items()}


def _tried(make: Callable[[], T]) -> T | Failure:
    try:
        return make()
    except (ExplainError, torch.OutOfMemoryError) as error:
        return error
