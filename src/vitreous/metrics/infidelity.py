"""Do the map's values add up to what the score does? Infidelity over squares of patches, completeness over all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from vitreous.errors import ShapeError
from vitreous.masking.moves import moving_values, rounding
from vitreous.metrics.bands import hidden_logits, one_hot
from vitreous.metrics.fills import metric_fill
from vitreous.metrics.metric import Metric, Number
from vitreous.metrics.perturbation import values_of
from vitreous.shapes import Heatmap, Images, TargetClass

__all__ = ["Completeness", "Infidelity", "infidelity", "squares"]

_MOST = 100_000
"""Squares of a map, about: each is a forward pass."""


@dataclass(frozen=True)
class Infidelity(Metric):
    """The squared error between what the map says that hiding a square does, and what it does. Smaller is better.

    mean over squares z of (β Σ_z map − (f(x) − f(x with z hidden)))², over all squares of 1 to `sides` patches on the
    map's own grid. Their "Square" perturbation, taken on patches.

    As in the authors' code and not in their definition, β is the factor that fits best (`scaling`); without it the
    scale of the map counts.

    Cost: one forward pass per image and square, and one more; 1,000 on a 14 × 14 grid with `sides` 10.
    """

    source: ClassVar[str] = "Yeh et al., On the (In)fidelity and Sensitivity of Explanations, NeurIPS 2019"
    quantities: ClassVar[Mapping[str, Number]] = {
        "infidelity": Number("↓", "mean squared error of the score's change"),
    }
    on_grid: ClassVar[bool] = True
    sides: int = 10
    scaling: bool = True
    fill: str = "mean"
    scale: Literal["probability", "logit"] = "logit"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    batch_size: int = 64
    precision: torch.dtype | None = None

    def __call__(self, model: nn.Module, images: Images, heatmap: Heatmap, target: TargetClass) -> dict[str, Tensor]:
        """Values per image.

        Raises:
            ShapeError: there are no squares, or more than any model can be run on.
            DegenerateMap: no square changes the score, so that any map would fit.
        """
        hidden = squares((heatmap.shape[1], heatmap.shape[2]), self.sides).to(images.device)
        masks = torch.cat([torch.zeros_like(hidden[:1]), hidden])
        fill = metric_fill(self.fill, self.mean, self.std)
        logits = hidden_logits(model, images, masks, fill, batch_size=self.batch_size, precision=self.precision)
        scores = moving_values(logits, one_hot(target, logits), self.scale, "Infidelity", setting="scale")
        said = torch.einsum("bhw,shw->bs", heatmap.detach().double(), hidden.double())
        return {"infidelity": infidelity(said, scores[:, :1] - scores[:, 1:], scaling=self.scaling)}


def infidelity(said: Tensor, done: Tensor, *, scaling: bool) -> Tensor:
    """The mean squared error of each row, (batch, perturbations) to (batch,), after the best scaling if wanted."""
    squared = (said**2).mean(1, keepdim=True)
    beta = (said * done).mean(1, keepdim=True) / torch.where(squared == 0, 1, squared) if scaling else 1
    return ((beta * said - done) ** 2).mean(1)


def squares(grid: tuple[int, int], sides: int) -> Bool[Tensor, "squares h w"]:
    """Every square of 1 to `sides` patches that lies on the grid.

    >>> len(squares((14, 14), 10))
    985
    """
    rows, columns = torch.arange(grid[0])[:, None], torch.arange(grid[1])
    if grid[0] * grid[1] * sides > _MOST:
        raise ShapeError(
            f"a map of {grid[0]}×{grid[1]} has some {grid[0] * grid[1] * sides:,} squares of 1 to {sides} to a side. "
            "Add it up over patches, or take fewer sides."
        )
    found = [
        (rows >= top) & (rows < top + side) & (columns >= left) & (columns < left + side)
        for side in range(1, min(sides, *grid) + 1)
        for top in range(grid[0] - side + 1)
        for left in range(grid[1] - side + 1)
    ]
    if not found:
        raise ShapeError(f"`sides` must be at least 1; got {sides}. The paper takes 10.")
    return torch.stack(found)


@dataclass(frozen=True)
class Completeness(Metric):
    """How far the map's sum is from the score that it should distribute: |Σ map − Δ| / |Δ|. 0 for a complete method.

    Δ = f(x) − f(x filled), the score against the picture that is `fill` all over; with an empty `fill`, Δ = f(x), which
    relevance should add up to.

    Cost: two forward passes per image.
    """

    source: ClassVar[str] = "Sundararajan et al., Axiomatic Attribution for Deep Networks, ICML 2017 (completeness)"
    quantities: ClassVar[Mapping[str, Number]] = {
        "completeness_error": Number("↓", "how far the map's sum is off, over the change of the score"),
    }
    on_grid: ClassVar[bool] = True
    fill: str = "mean"
    scale: Literal["probability", "logit"] = "logit"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    batch_size: int = 64

    def __call__(self, model: nn.Module, images: Images, heatmap: Heatmap, target: TargetClass) -> dict[str, Tensor]:
        """Values per image.

        Raises:
            ShapeError: the score does not change but for rounding, so there is nothing to distribute.
        """
        masks = torch.tensor([False, True], device=images.device)[:, None, None]
        fill = metric_fill(self.fill or "mean", self.mean, self.std)
        logits = hidden_logits(model, images, masks, fill, batch_size=self.batch_size)
        scores = values_of(logits, target, self.scale)
        change = scores[:, 0] - (scores[:, 1] if self.fill else 0)
        if len(none := (change.abs() <= rounding(logits, scores.abs().amax(1))).nonzero()):
            raise ShapeError(
                f"the score of image {int(none[0])} has nothing to distribute: it is {change[none[0]].item():g}. "
                'Use another fill, or scale="logit".'
            )
        return {"completeness_error": (heatmap.detach().double().sum((1, 2)) - change).abs() / change.abs()}
