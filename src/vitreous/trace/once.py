"""What a model is, measured once for all that ask for it within a block: `with measuring_once(): …`.

Where its tokens lie, which layer a CAM reads: several methods on one model measure the same. Within the block the first
that asks measures, and the others are given what it found, as long as nothing that it may depend on has changed: the
model and what it is made of, its weights and its hooks, how it is read, the size and type of the images, and of what
depends on a picture, that picture. Torch counts no values that are written through `.data[…]` or NumPy, and these show
as little as a module's plain attributes do: nothing of that kind may change within a block. What fails is measured
again. Nothing is kept after the block, and other threads have their own.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from vitreous.trace.reading import Reading, current_reading

__all__ = ["Measured", "measuring_once", "once"]

T = TypeVar("T")

_PLAIN = (Tensor, nn.Parameter)
_MOST = 16
"""So many findings are kept, the latest: each holds on to a picture."""


@dataclass(frozen=True)
class _Asked:
    """What is measured, and all that it may depend on but the picture; models and tensors are told by being the same.

    Attributes:
        what: is measured.
        how: the model is read.
        images: shape of one, type and device.
        modules: of the model, each with its hooks and with the `forward` that it was given.
        tensors: its parameters and buffers, each with how often it was written to, and where it lies.
    """

    what: object
    how: Reading
    images: tuple[Any, ...]
    modules: tuple[Any, ...]
    tensors: tuple[Any, ...]


class Measured:
    """What has been found, to go on with in a later block of the same call."""

    def __init__(self) -> None:
        # the objects too, so that no other gets the identity of one of them
        self._found: deque[tuple[_Asked, Tensor | None, Any, list[Any]]] = deque(maxlen=_MOST)

    def get(self, what: object, model: nn.Module, images: Tensor, measure: Callable[[], T], *, picture: bool) -> T:
        """As `once`."""
        asked, objects = _asked(what, model, images)
        first = images[:1].detach() if picture else None
        for known, then, found, _ in self._found:
            if known == asked and (then is None or first is None or torch.equal(then, first)):
                return found
        found = measure()
        self._found.append((asked, None if first is None else first.clone(), found, objects))
        return found


class _Blocks(threading.local):
    measured: Measured | None = None


_CURRENT = _Blocks()


@contextmanager
def measuring_once(measured: Measured | None = None) -> Generator[None]:
    """Measure what a model is once, until the block ends; a block within another shares what that one found.

    Args:
        measured: to go on with what earlier blocks found.
    """
    before = _CURRENT.measured
    _CURRENT.measured = before or measured or Measured()
    try:
        yield
    finally:
        _CURRENT.measured = before


def once(what: object, model: nn.Module, images: Tensor, measure: Callable[[], T], *, picture: bool = False) -> T:
    """What `measure` finds, or what it found before in this block; outside of any, it is called each time.

    Args:
        what: is measured, and all arguments of it beside the model and the images.
        model: of which.
        images: that it is measured with.
        measure: finds it out, and changes nothing else.
        picture: whether it depends on the first image, and not on its size and type alone.
    """
    if (measured := _CURRENT.measured) is None:
        return measure()
    return measured.get(what, model, images, measure, picture=picture)


def _asked(what: object, model: nn.Module, images: Tensor) -> tuple[_Asked, list[Any]]:
    modules = list(model.modules())
    held = [
        each
        for module in modules  # their own dictionaries: a walk for each kind would take twice as long
        for each in (*module._parameters.values(), *module._buffers.values())  # pyright: ignore[reportPrivateUsage]
    ]
    tensors = [each for each in held if each is not None]
    return _Asked(
        what,
        current_reading(),
        (images.shape[1:], images.dtype, images.device),
        tuple((id(each), *_ways(each)) for each in modules),
        tuple((id(each), _writes(each), _lies(each), each.dtype, each.device) for each in tensors),
    ), [*modules, *tensors]


def _ways(module: nn.Module) -> tuple[Any, ...]:
    """How it runs: the numbers of its hooks, which torch gives once, and a `forward` of its own."""
    held = vars(module)
    return tuple(held.get("_forward_pre_hooks", ())), tuple(held.get("_forward_hooks", ())), held.get("forward")


def _writes(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _lies(tensor: Tensor) -> int:
    """Where: `weight.data = …` counts as no writing. Tensors of other kinds may lie nowhere."""
    return tensor.data_ptr() if type(tensor) in _PLAIN and tensor.layout == torch.strided else 0
