"""Whether a model draws random numbers, of torch, numpy or Python: a map would show one draw of many."""

from __future__ import annotations

import pickle
import random
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import partial
from types import BuiltinMethodType, CellType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.errors import ObservationError
from vitreous.trace.changes import aside
from vitreous.trace.output import everything
from vitreous.trace.running import run
from vitreous.trace.settled import settled

__all__ = ["check_same", "no_chance"]


_RUNS = 16
"""Of a coin, as many runs agree once in 32,768 models; of a layer left out in three, once in 650."""
_GENERATORS = np.random.Generator, np.random.RandomState, random.Random, torch.Generator


@contextmanager
def no_chance(model: nn.Module, images: Tensor) -> Generator[None]:
    """Refuse a model that gives other numbers each time that it runs, if random numbers were drawn in the block.

    Drawn from a generator that functions share, or from one that the model holds, or that lies in a file of its code.
    Those that a model draws and does not use, or draws from a seed of its own, do no harm: the first image runs again
    to see. What else was found wrong within the block is no news of such a model, and gives way.

    Raises:
        ObservationError: it does.

    Cost: nothing where none were drawn; else forward passes of one image until two differ, sixteen at most.
    """
    own = _own(model)
    before = _states(images.device, own)
    try:
        yield
    except ObservationError:
        if _states(images.device, own) != before:
            _check_repeats(model, images[:1])
        raise
    if _states(images.device, own) != before:
        _check_repeats(model, images[:1])


def check_same(first: Tensor, again: Tensor, dtype: torch.dtype, model: str) -> None:
    """Refuse a model of which two runs on one image, in numbers of this type, gave these.

    Raises:
        ObservationError: they are not the same, but for rounding.
    """
    near = torch.finfo(dtype).eps ** 0.5 * first.double().norm()
    if again.shape != first.shape or (again.double() - first.double()).norm() > near:
        raise ObservationError(
            f"`{model}` gives other numbers each time that it runs on the same image: it draws random ones in its "
            "forward pass, as dropout or noise does that stays on in evaluation, or goes on from what it kept of an "
            "earlier run, such as a moving mean. Switch that off, or seed them at the start of its forward to explain "
            "one draw: torch.manual_seed(0), numpy's and Python's own, and a generator that it holds."
        )


def _own(model: nn.Module) -> list[Any]:
    """Generators that modules, or functions that they hold, have, and those in the files that these are of."""
    modules = list(model.modules())  # lists, as other threads may put hooks there meanwhile
    held = [value for module in modules for value in list(vars(module).values())]
    held += [part for value in held if isinstance(value, list | tuple) for part in list(value)]
    held += [part for value in held if isinstance(value, dict) for part in list(value.values())]
    held += [part for value in held if isinstance(value, partial) for part in (*value.args, *value.keywords.values())]
    held += [value.__self__ for value in held if isinstance(value, MethodType | BuiltinMethodType)]
    code = [*held, *(getattr(kind, "forward", None) for kind in {type(module) for module in modules})]
    functions = [each for each in code if isinstance(each, FunctionType)]
    held += [cell.cell_contents for each in functions for cell in each.__closure__ or () if cell != CellType()]
    files = {id(each.__globals__): each.__globals__ for each in functions}
    held += [value for names in files.values() for value in list(names.values())]
    return list({id(each): each for each in held if issubclass(type(each), _GENERATORS)}.values())


def _states(device: torch.device, own: Sequence[Any]) -> list[Any]:
    """Of the generators that functions draw from where they are given none, and of a model's own."""
    states: list[Any] = [torch.get_rng_state().numpy().tobytes(), random.getstate()]
    states += [each.tobytes() if isinstance(each, np.ndarray) else each for each in np.random.get_state(legacy=True)]
    if device.type != "cpu":
        states.append(torch.get_device_module(device).get_rng_state(device).numpy().tobytes())
    return [*states, *map(_state, own)]


def _state(generator: Any) -> object:
    if isinstance(generator, random.SystemRandom):
        return object()  # it has none, and never gives the same
    if isinstance(generator, torch.Generator):
        return generator.get_state().numpy().tobytes()
    return pickle.dumps(generator)


def _check_repeats(model: nn.Module, image: Tensor) -> None:
    with aside(), settled(model) as change:
        change.gradients(False)
        change.start_pass()
        first = everything(run(model, image.clone()))
        for _ in range(1, _RUNS):
            check_same(first, everything(run(model, image.clone())), image.dtype, type(model).__name__)
