"""What an autoencoder keeps of a layer: of its tokens, and of what the model decides by them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.errors import NoClassScores
from vitreous.inside.autoencoder import SparseAutoencoder
from vitreous.shapes import FeatureMaps, Images, Logits
from vitreous.trace.classifier import check_classifier
from vitreous.trace.layer import find_layer
from vitreous.trace.layer_output import run_with
from vitreous.trace.target import link_of

__all__ = ["Fidelity", "measure", "rows_of"]

_LEAST = 1e-7
"""An ablation that moves the decision less moves it by rounding."""


@dataclass(frozen=True)
class Fidelity:
    """How much an autoencoder keeps, on pictures that it was not trained on.

    The loss is how far the model's own decision moves with other patch tokens in the layer: KL(as it is ‖ as it
    becomes), the mean over pictures; of a model whose scores are values, their squared difference.

    Attributes:
        explained: the share of the tokens' variance that the autoencoder makes up; below 0 where their mean is nearer.
        active: features of a token, the mean.
        loss: with the tokens that the autoencoder makes; None of a model without class scores.
        loss_zero: with zeros for all patches.
        loss_mean: with the mean token for all patches.
    """

    explained: float
    active: float
    loss: float | None = None
    loss_zero: float | None = None
    loss_mean: float | None = None

    @property
    def recovered_zero(self) -> float | None:
        """1 − loss / loss_zero: 1 where the decision stays. None where ablation moves it by no more than rounding."""
        return _recovered(self.loss, self.loss_zero)

    @property
    def recovered_mean(self) -> float | None:
        """Likewise, by the mean token."""
        return _recovered(self.loss, self.loss_mean)


def measure(
    model: nn.Module,
    inputs: Images,
    features: Float[Tensor, "batch depth h w"],
    found: SparseAutoencoder,
    batch_size: int,
) -> Fidelity:
    """Hold an autoencoder against pictures, and what its layer gives of their patches.

    Raises:
        ExplainError: as `explain` with a method that reads a layer.

    Cost: 4 forward passes of each image.
    """
    rows = rows_of(features)
    mean = rows.mean(0)
    left, active, rebuilt = rows.new_zeros((), dtype=torch.float64), 0, list[Tensor]()
    for part in features.split(batch_size):
        own = rows_of(part)
        much = found.encode(own)
        made = found.decode(much)
        left += (own - made).double().square().sum()
        active += int((much > 0).sum())
        rebuilt.append(made.unflatten(0, (len(part), *part.shape[2:])).movedim(-1, 1))
    explained = 1 - (left / (rows - mean).double().square().sum()).item()
    told = explained, active / len(rows)
    try:
        check_classifier(model, inputs)
        place = find_layer(model, inputs[:batch_size], found.layer)
    except NoClassScores:
        return Fidelity(*told)
    losses = torch.zeros(3, dtype=torch.float64)
    for images, part, made in zip(inputs.split(batch_size), features.split(batch_size), rebuilt, strict=True):
        tried = part, made, torch.zeros_like(part), mean[:, None, None].expand_as(part)
        was, *now = (
            run_with(model, images, place, partial(_replaced, place.with_maps, maps)).detach().cpu() for maps in tried
        )
        losses += torch.stack([_loss(was, each).sum() for each in now])
    return Fidelity(*told, *(losses / len(inputs)).tolist())


def rows_of(features: FeatureMaps) -> Float[Tensor, "n channels"]:
    """The tokens of all patches, in float32."""
    return features.movedim(1, -1).flatten(0, 2).float()


def _replaced(with_maps: Callable[[Tensor, FeatureMaps], Tensor], maps: FeatureMaps, output: Tensor) -> Tensor:
    return with_maps(output, maps.to(output))


def _loss(was: Logits, now: Logits) -> Float[Tensor, " batch"]:
    """How far each image's decision has moved."""
    was, now = was.double(), now.double()
    match link_of(was.shape[1]):
        case "identity":
            return (was - now).square().sum(1)
        case "sigmoid":
            sides = [was.sigmoid() * (F.logsigmoid(was) - F.logsigmoid(now))]
            sides += [(-was).sigmoid() * (F.logsigmoid(-was) - F.logsigmoid(-now))]
            return torch.stack(sides).sum((0, 2))
        case _:
            return (was.softmax(1) * (was.log_softmax(1) - now.log_softmax(1))).sum(1)


def _recovered(loss: float | None, ablated: float | None) -> float | None:
    return None if loss is None or ablated is None or ablated < _LEAST else 1 - loss / ablated
