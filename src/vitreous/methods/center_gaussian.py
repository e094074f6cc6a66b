"""Baseline: the middle of the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from vitreous.errors import ShapeError
from vitreous.methods.baseline import Baseline
from vitreous.methods.method import Family
from vitreous.settings.typed import Cells
from vitreous.shapes import Heatmap, Images

__all__ = ["CenterGaussian", "gaussian"]


@dataclass(frozen=True)
class CenterGaussian(Baseline):
    """A Gaussian in the middle, where photographers put the subject; the same for every picture, model and class.

    heat = exp(-(x² + y²) / 2σ²), x and y from the center in shares of the picture's width and height.

    Attributes:
        sigma: width σ of the Gaussian, as a share of each side.
        grid: rows and columns of the map; None takes the model's patches, or 14×14 where it has none.

    Needs nothing.
    Cost: one forward pass (for the class scores).

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "center_gaussian").heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "Center Gaussian"
    source: ClassVar[str] = "baseline: the bias of photographs towards their center"
    family: ClassVar[Family] = "pixels"
    scoreless: ClassVar[Literal[True]] = True

    sigma: float = 0.25
    grid: Cells | None = None

    def heat(self, images: Images, size: tuple[int, int]) -> Heatmap:
        """The map of these rows and columns."""
        if self.sigma <= 0:
            raise ShapeError(f"`sigma` is {self.sigma:g}, so the Gaussian has no width. Give a number above 0.")
        return gaussian(size, self.sigma).to(images).expand(len(images), -1, -1)


def gaussian(size: tuple[int, int], sigma: float) -> Float[Tensor, "h w"]:
    """The Gaussian at the centers of the cells of a grid over the unit square.

    >>> gaussian((1, 3), 0.25)
    tensor([[0.4111, 1.0000, 0.4111]], dtype=torch.float64)
    """
    y, x = (torch.exp(-(((torch.arange(n).double() + 0.5) / n - 0.5) ** 2) / (2 * sigma**2)) for n in size)
    return y[:, None] * x
