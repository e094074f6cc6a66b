"""Scores under masks, and whether they move by more than rounding does: what stays says nothing of what was hidden."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.errors import DegenerateMap
from vitreous.shapes import Logits
from vitreous.trace.reading import link_of
from vitreous.trace.target import Scale, value_of

__all__ = ["moving_values", "rounding"]

_STEPS = 8
"""Rounding of a forward pass, in steps of its floating-point type."""


def moving_values(
    logits: Float[Tensor, "batch masks classes"],
    direction: Logits,
    scale: Scale,
    name: str,
    *,
    setting: str = "score",
    start: int = 0,
) -> Float[Tensor, "batch masks"]:
    """The explained value of each image's masked versions, as `value_of`, in double precision.

    Args:
        logits: in the precision that the model runs in, which says what rounding is.
        direction: that is explained.
        scale: of the values.
        name: of the method or metric, for messages.
        setting: what the scale is called there.
        start: place of the first image among those that were given.

    Raises:
        DegenerateMap: an image's values are the same under every mask, but for rounding.
    """
    wide, direction = logits.double(), direction.double()
    values = value_of(wide, direction, scale)
    shares = scale == "probability" and link_of(logits.shape[-1]) != "identity"
    if shares:  # each score has a part in a probability
        still = (_spread(wide) <= rounding(logits, wide.abs().amax((1, 2), keepdim=True)[:, 0])).all(1)
    else:
        size = (wide.abs() * direction.abs()[:, None]).sum(2).amax(1)
        still = _spread(values) <= rounding(logits, size)
    if still.any():
        raise DegenerateMap(
            f"`{name}` hid parts of the picture, and the class scores stayed as they were but for rounding,",
            start + int(still.nonzero()[0, 0]),
            "Choose another fill; a model that does not read its input also gives this.",
        )
    flat = _spread(values) <= rounding(values, values.abs().amax(1))
    if shares and flat.any():
        at = int(flat.nonzero()[0, 0])
        value = ' Or say link="identity", if the score is a value.' if logits.shape[-1] == 1 else ""
        raise DegenerateMap(
            f"`{name}` found a saturated probability, {values[at, 0].abs().item():.9g} under every mask,",
            start + at,
            f'Set {setting}="logit".{value}',
        )
    return values


def rounding(values: Tensor, size: Tensor) -> Tensor:
    """How far apart numbers of this size and of the values' floating-point type may be and still be the same."""
    return _STEPS * torch.finfo(values.dtype).eps * size.double()


def _spread(values: Tensor) -> Tensor:
    return values.amax(1) - values.amin(1)
