"""SaCo and average drop: what hiding parts of the map's order, or all that it marks low, does to the class score."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from vitreous.errors import ShapeError
from vitreous.masking.forward import Masks
from vitreous.masking.moves import moving_values, rounding
from vitreous.metrics.bands import band_logits, hidden_logits, one_hot, ranks
from vitreous.metrics.fills import metric_fill
from vitreous.metrics.metric import Metric, Number, levelled, scaled
from vitreous.metrics.perturbation import values_of
from vitreous.settings.typed import Passes
from vitreous.shapes import Heatmap, Images, TargetClass
from vitreous.trace.target import Scale

__all__ = ["AverageDrop", "SaCo", "saco"]


@dataclass(frozen=True)
class SaCo(Metric):
    """The salience-guided faithfulness coefficient: do parts that the map says matter more, matter more? From −1 to 1.

    All pixels, by falling map, make `groups` groups of one size, s_g the sum of the map over group g, d_g the drop of
    the class's probability (or logit: `scale`) when the group alone is hidden. F = Σ_{i<j} w_ij / Σ_{i<j} |w_ij|, with
    w_ij = s_i − s_j if d_i ≥ d_j and its negative otherwise.

    The authors' code leaves groups and fill open: 10 groups and the picture's mean are what others report of their
    paper, and that the mean is taken per channel is ours. F does not depend on the scale of the map.

    Cost: groups + 1 forward passes per image.
    """

    source: ClassVar[str] = "Wu et al., On the Faithfulness of Vision Transformer Explanations, CVPR 2024"
    quantities: ClassVar[Mapping[str, Number]] = {
        "saco": Number("↑", "coefficient from −1 to 1"),
    }
    groups: Passes = 10
    fill: str = "image_mean"
    scale: Scale = "probability"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    batch_size: int = 64
    precision: torch.dtype | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be compared."""
        if self.groups < 2:
            raise ShapeError(f"`groups` must be at least 2; got {self.groups}. The paper takes 10.")

    def __call__(self, model: nn.Module, images: Images, heatmap: Heatmap, target: TargetClass) -> dict[str, Tensor]:
        """F of each image.

        Raises:
            DegenerateMap: no group changes the score, so that any order would be as right.
        """
        values = levelled(heatmap, (images.shape[2], images.shape[3]))
        pixels = values[0].numel()
        cuts = [pixels * group // self.groups for group in range(self.groups + 1)]
        bands = list(pairwise(cuts))
        fill = metric_fill(self.fill, self.mean, self.std)
        logits = band_logits(
            model, images, heatmap, [(0, 0), *bands], fill, batch_size=self.batch_size, precision=self.precision
        )
        scores = moving_values(logits, one_hot(target, logits), self.scale, "SaCo", setting="scale")
        ordered = torch.empty_like(values.flatten(1)).scatter(1, ranks(values).flatten(1), values.flatten(1)).double()
        salience = torch.stack([ordered[:, low:high].sum(1) for low, high in bands], 1)
        size = logits.abs().amax((1, 2)) * (scores.abs().amax(1) if self.scale == "probability" else 1)
        return {"saco": saco(salience, scores[:, :1] - scores[:, 1:], rounding(logits, size))}


def saco(salience: Tensor, drop: Tensor, same: Tensor | None = None) -> Tensor:
    """F of each row from the groups' sums of the map, falling, and their drops: (batch, groups) each, to (batch,).

    Drops at most `same` (batch,) apart are equal.
    """
    first, second = torch.triu_indices(salience.shape[1], salience.shape[1], 1)
    weight = salience[:, first] - salience[:, second]
    less = 0 if same is None else same[:, None]
    kept = torch.where(drop[:, first] >= drop[:, second] - less, weight, -weight)
    return kept.sum(1) / weight.abs().sum(1)


@dataclass(frozen=True)
class AverageDrop(Metric):
    """Average drop and increase: the class score when only what the map marks is kept.

    The image is kept as far as the map, min-max normalized at picture size, and filled for the rest. Y and O are the
    class's probabilities before and after (or its logits, or values of a regression): drop = mean max(0, Y − O) / |Y|,
    increase = the share of images with O > Y by more than rounding. Shares, not percent. The defaults multiply the
    normalized image by the map, as the authors do.

    Cost: two forward passes per image.
    """

    source: ClassVar[str] = "Chattopadhay et al., Grad-CAM++, WACV 2018"
    quantities: ClassVar[Mapping[str, Number]] = {
        "average_drop": Number("↓", "share of the class's probability that is lost"),
        "average_increase": Number("↑", "share of pictures whose probability rises"),
    }
    fill: str = "mean"
    scale: Scale = "probability"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    batch_size: int = 64
    precision: torch.dtype | None = None

    def __call__(self, model: nn.Module, images: Images, heatmap: Heatmap, target: TargetClass) -> dict[str, Tensor]:
        """Values per image."""
        hidden = 1 - scaled(heatmap, (images.shape[2], images.shape[3]))
        masks: list[Masks] = list(torch.stack([torch.zeros_like(hidden), hidden], 1))
        fill = metric_fill(self.fill, self.mean, self.std)
        logits = hidden_logits(model, images, masks, fill, batch_size=self.batch_size, precision=self.precision)
        before, after = values_of(logits, target, self.scale).unbind(1)
        rises = after - before > rounding(logits, before.abs())
        return {"average_drop": (before - after).clamp(min=0) / before.abs(), "average_increase": rises.double()}
