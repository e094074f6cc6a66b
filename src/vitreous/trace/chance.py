"""Whether a model draws random numbers, of torch, numpy or Python: a map would show one draw of many."""

from __future__ import annotations

import random
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.errors import ObservationError
from vitreous.trace.changes import aside
from vitreous.trace.output import everything
from vitreous.trace.running import run
from vitreous.trace.settled import settled

__all__ = ["no_chance"]


_RUNS = 8
"""Of a coin in two, or a layer left out in three, that many rarely agree."""


@contextmanager
def no_chance(model: nn.Module, images: Tensor) -> Generator[None]:
    """Refuse a model that gives other numbers each time that it runs, if random numbers were drawn in the block.

    Those that a model draws and does not use, or draws from a seed of its own, do no harm: the first image runs again
    to see. What else was found wrong within the block is no news of such a model, and gives way.

    Raises:
        ObservationError: it does.

    Cost: nothing where none were drawn; else eight forward passes of one image.
    """
    before = _states(images.device)
    try:
        yield
    except ObservationError:
        if _states(images.device) != before:
            _check_repeats(model, images[:1])
        raise
    if _states(images.device) != before:
        _check_repeats(model, images[:1])


def _states(device: torch.device) -> list[Any]:
    """Of the generators that functions draw from where they are given none."""
    states: list[Any] = [torch.get_rng_state().numpy().tobytes(), random.getstate()]
    states += [each.tobytes() if isinstance(each, np.ndarray) else each for each in np.random.get_state(legacy=True)]
    if device.type != "cpu":
        states.append(torch.get_device_module(device).get_rng_state(device).numpy().tobytes())
    return states


def _check_repeats(model: nn.Module, image: Tensor) -> None:
    with aside(), settled(model) as change:
        change.gradients(False)
        change.start_pass()
        first, *others = (everything(run(model, image.clone())).double() for _ in range(_RUNS))
    near = torch.finfo(image.dtype).eps ** 0.5 * first.norm()
    if any(each.shape != first.shape or (each - first).norm() > near for each in others):
        raise ObservationError(
            f"`{type(model).__name__}` gives other numbers each time that it runs on the same image: it draws random "
            "ones in its forward pass, as dropout or noise does that stays on in evaluation. Switch that off, or seed "
            "them at the start of its forward to explain one draw: torch.manual_seed(0), and numpy's and Python's own."
        )
