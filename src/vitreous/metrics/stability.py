"""What a map should survive, and what it should not: small changes of the image, and random weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.errors import ShapeError
from vitreous.metrics.metric import Explain, Metric, Number
from vitreous.settings.typed import Passes, Seed
from vitreous.shapes import Images
from vitreous.trace.edit import find_layers

__all__ = ["ModelRandomization", "SensitivityMax", "rank_correlation"]


@dataclass(frozen=True)
class SensitivityMax(Metric):
    """The most that the map changes when the image changes a little: max ‖Φ(x + r) − Φ(x)‖ / ‖Φ(x)‖ over ‖r‖∞ ≤ radius.

    The maximum is over `samples` draws of r, uniform in the normalized image, the same for every image. Smaller is
    better, but a constant map would be best.

    Cost: samples + 1 explanations per image.
    """

    source: ClassVar[str] = "Yeh et al., On the (In)fidelity and Sensitivity of Explanations, NeurIPS 2019"
    quantities: ClassVar[Mapping[str, Number]] = {
        "sensitivity_max": Number("↓", "largest change of the map over its size"),
    }
    radius: float = 0.02
    samples: Passes = 10
    seed: Seed = 0

    def __post_init__(self) -> None:
        """Refuse what draws nothing."""
        if self.samples < 1 or self.radius <= 0:
            raise ShapeError(
                f"{self.samples} samples within {self.radius:g} change nothing. Take at least one, above 0."
            )

    def __call__(self, explain: Explain, model: nn.Module, images: Images) -> dict[str, Tensor]:
        """Values per image."""
        first = explain(model, images).double().flatten(1)
        generator = torch.Generator().manual_seed(self.seed)
        largest = first.new_zeros(len(first))
        for _ in range(self.samples):
            drawn = torch.rand(images.shape[1:], generator=generator).to(images) * 2 - 1
            changed = explain(model, images + self.radius * drawn).double().flatten(1) - first
            largest = torch.maximum(largest, changed.norm(dim=1))
        return {"sensitivity_max": largest / first.norm(dim=1)}


@dataclass(frozen=True)
class ModelRandomization(Metric):
    """The model randomization test: what is left of the map when weights are drawn anew, last layer first.

    Layer by layer and on top of each other (cascading), each parameter is replaced by normal draws with its own mean
    and standard deviation; after each layer the map of the random model is compared with the first one by the rank
    correlation of their sizes. A map that stays the same explains the picture, not the model: smaller is better.

    Adebayo et al. draw from each layer's initializer, which a trained model no longer knows.

    Attributes:
        layers: dotted names of modules, in the order in which they are randomized; empty for every module that has
            parameters of its own, last to first.
        signed: compare the values, not their sizes.
        seed: of the draws.

    Cost: one explanation per layer, and one more. The model is copied, never changed.
    """

    source: ClassVar[str] = "Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018"
    quantities: ClassVar[Mapping[str, Number]] = {
        "correlation": Number("↓", "rank correlation, mean over layers"),
        "last_correlation": Number("↓", "rank correlation when every layer is random"),
    }
    layers: Sequence[str] = ()
    signed: bool = False
    seed: Seed = 0

    def __call__(self, explain: Explain, model: nn.Module, images: Images) -> dict[str, Tensor]:
        """Per image, the mean correlation over all layers, and the one after the last."""
        first = self._values(explain, model, images)
        model = copy.deepcopy(model)
        own = [name for name, module in model.named_modules() if any(True for _ in module.parameters(recurse=False))]
        generator = torch.Generator().manual_seed(self.seed)
        kept: list[Tensor] = []
        for layer in find_layers(model, self.layers or own[::-1]).values():
            with torch.no_grad():
                for parameter in layer.parameters():
                    drawn = torch.randn(parameter.shape, generator=generator).to(parameter)
                    parameter.copy_(parameter.mean() + parameter.std(correction=0) * drawn)
            kept.append(rank_correlation(first, self._values(explain, model, images)))
        return {"correlation": torch.stack(kept).mean(0), "last_correlation": kept[-1]}

    def _values(self, explain: Explain, model: nn.Module, images: Images) -> Tensor:
        flat = explain(model, images).double().flatten(1)
        return flat if self.signed else flat.abs()


def rank_correlation(
    one: Float[Tensor, "batch values"], other: Float[Tensor, "batch values"]
) -> Float[Tensor, " batch"]:
    """Spearman's correlation of each pair of rows; equal values share their mean rank.

    >>> rank_correlation(torch.tensor([[1.0, 2.0, 9.0]]), torch.tensor([[7.0, 6.0, 5.0]])).round(decimals=6)
    tensor([-1.], dtype=torch.float64)
    """
    ranks = [_mean_ranks(row) for row in (one, other)]
    centered = [rank - rank.mean(1, keepdim=True) for rank in ranks]
    return (centered[0] * centered[1]).sum(1) / (centered[0].norm(dim=1) * centered[1].norm(dim=1))


def _mean_ranks(values: Tensor) -> Tensor:
    ordered = values.sort(1).values
    return (torch.searchsorted(ordered, values) + torch.searchsorted(ordered, values, right=True)).double() / 2
