"""Noise to move a picture with, evenly and growing along it: what moves by it tells its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.shapes import Images

__all__ = ["Positions", "Probe", "ramp"]

Positions = Float[Tensor, " tokens"]
"""Along one side of the picture, from -1 to 1."""


@dataclass(frozen=True)
class Probe:
    """Noise of a picture's own size, mean and spread.

    Attributes:
        shape: (1, channels, height, width).
        middle: mean of a picture's numbers.
        scale: their spread.
        like: makes a model's input of it.
        generator: of the noise.
    """

    shape: tuple[int, ...]
    middle: Tensor
    scale: Tensor
    like: Callable[[Tensor], Tensor]
    generator: torch.Generator

    @classmethod
    def of(cls, images: Images, seed: int = 0) -> Probe:
        """As the first of these images is."""
        spread, middle = torch.std_mean(images[:1].detach().float(), correction=0)
        # of a picture of one color, the spread is mere rounding
        flat = spread <= torch.finfo(spread.dtype).eps ** 0.5 * middle.abs()
        generator = torch.Generator().manual_seed(seed)
        return cls(
            (1, *images.shape[1:]), middle, spread.masked_fill(flat, 1.0), lambda noise: noise.to(images), generator
        )

    def noise(self) -> Tensor:
        """New noise."""
        return self.scale * torch.randn(self.shape, generator=self.generator).to(self.scale.device)

    @property
    def ramps(self) -> tuple[Tensor, Tensor]:
        """From -1 to 1, downwards and to the right."""
        height, width = self.shape[-2:]
        return ramp(height).view(-1, 1).to(self.scale), ramp(width).to(self.scale)

    @staticmethod
    def step(dtype: torch.dtype) -> float:
        """So much of the noise moves numbers of this type clearly, and little enough to move them evenly."""
        return torch.finfo(dtype).eps ** (1 / 3)


def ramp(length: int) -> Positions:
    """The middles of so many pixels."""
    return (torch.arange(length) + 0.5) * 2 / length - 1
