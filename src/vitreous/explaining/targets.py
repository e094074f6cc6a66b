"""What a user says about the class to explain, as a target."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from numbers import Integral
from typing import Any, TypeGuard

import torch
from jaxtyping import Int
from torch import Tensor

from vitreous.errors import ShapeError, UnknownName
from vitreous.settings.typed import shown
from vitreous.shapes import Logits
from vitreous.trace.target import Classes, Margin, Predicted, Scalar, Target

__all__ = ["UserTarget", "as_target", "choose_classes", "class_index", "class_named", "is_top", "part_of", "rivals"]

UserTarget = int | str | Tensor | Sequence[int | str] | Target | Callable[..., Tensor] | None
"""A class index or name, one per image, a target object, a function of the logits, or None for the predicted class."""


def as_target(target: UserTarget, class_names: Sequence[str], against: UserTarget = None) -> Target:
    """A target from what a user says.

    Args:
        target: nothing or "predicted", an index, a name, one of these per image, a target object, or a function from
            logits (batch, classes) to one number per image.
        class_names: of the model.
        against: likewise, a class that the first one is held against; None for no such class.

    Raises:
        UnknownName: a name is not one of the classes.
        ShapeError: it is none of these.

    >>> as_target("hen", ("cock", "hen"), against="cock")
    Margin(of=Classes(index=(1,)), against=Classes(index=(0,)))
    """
    if against is not None:
        return Margin(as_target(target, class_names), as_target(against, class_names))
    if target is None or (isinstance(target, str) and target == "predicted"):
        return Predicted()
    if isinstance(target, Predicted | Classes | Margin | Scalar):
        return target
    if isinstance(target, Tensor):
        target = target.flatten().tolist()
    if callable(target):
        return Scalar(target)
    named: Any = [target] if isinstance(target, Integral | str) else target
    several: list[Any] = [*named] if isinstance(named, Iterable) and getattr(named, "ndim", 1) else [None]
    if isinstance(target, Set | Mapping | bytes) or not all(_is_class(each) for each in several):
        raise ShapeError(
            f"the target is {shown(target)}. Give the index or name of a class, one of these per image, or a function "
            "of the logits."
        )
    return Classes(tuple(class_index(name, class_names) for name in several))


def _is_class(each: object) -> bool:
    """Whether this may name one: true and false are numbers to Python, and say of a class nothing."""
    return isinstance(each, Integral | str) and each is not True and each is not False


def choose_classes(
    target: str | Sequence[int | str], class_names: Sequence[str], logits: Logits
) -> Int[Tensor, "batch targets"]:
    """The classes to explain, per picture: "predicted", "top-K" (the K most probable), a name or index; or several.

    Raises:
        UnknownName: the model has no such class, or not as many.

    >>> import torch
    >>> choose_classes("top-2", (), torch.tensor([[0.1, 3.0, 2.0]]))
    tensor([[1, 2]])
    >>> choose_classes(("cat", "dog"), ("dog", "horse", "cat"), torch.tensor([[0.1, 3.0, 2.0]]))
    tensor([[2, 0]])
    """
    if not isinstance(target, str):
        return torch.cat([choose_classes(str(each), class_names, logits) for each in target], 1)
    classes = logits.shape[1]
    if is_top(target):
        count = int(target.removeprefix("top-"))
        if not 1 <= count <= classes:
            raise UnknownName("target", target, ["predicted", f"top-1 … top-{classes}", "any class name or index"])
        return logits.topk(count, dim=1).indices
    return as_target(target, class_names)(logits).argmax(1, keepdim=True)


def is_top(target: object) -> TypeGuard[str]:
    """Whether this is "top-K".

    >>> is_top("top-3"), is_top("tophat")
    (True, False)
    """
    return isinstance(target, str) and re.fullmatch(r"top-\d{1,18}", target) is not None


def part_of(target: Target, images: int, part: slice) -> Target:
    """The target of some of the images.

    Raises:
        ShapeError: it names neither one class nor as many as there are images.
    """
    if isinstance(target, Classes):
        return Classes(target.per_image(images)[part])
    if isinstance(target, Margin):
        return Margin(part_of(target.of, images, part), part_of(target.against, images, part))
    return target


def rivals(target: Target, logits: Logits) -> tuple[int, ...]:
    """Per image, the class that the one explained is held against; nothing where there is none.

    >>> import torch
    >>> rivals(as_target(1, (), against=2), torch.zeros(2, 3)), rivals(as_target(1, ()), torch.zeros(2, 3))
    ((2, 2), ())
    """
    if isinstance(target, Margin) and isinstance(target.against, Predicted | Classes):
        return tuple(target.against(logits).argmax(1).tolist())
    return ()


def class_index(name: int | str, class_names: Sequence[str]) -> int:
    """The index of a class by its name, by any of its synonyms, or by the index itself.

    Raises:
        UnknownName: the model has no class of that name.
    """
    if not isinstance(name, str) or re.fullmatch(r"-?\d{1,18}", name):
        return int(name)
    return class_named(name, class_names)


def class_named(name: str, class_names: Sequence[str]) -> int:
    """The index of a class by its name, which may be a number, or by any of its synonyms.

    Raises:
        UnknownName: the model has no class of that name.
    """
    # ImageNet's names are lists of synonyms: any of them will do
    synonyms = {
        part.strip().lower(): at for at, full in reversed([*enumerate(class_names)]) for part in full.split(",")
    }
    exact = {full.lower(): at for at, full in enumerate(class_names)}
    found = exact.get(name.lower(), synonyms.get(name.lower()))
    if found is None:
        raise UnknownName("class", name, class_names, remedy="" if class_names else "Give its index, or class names.")
    return found
