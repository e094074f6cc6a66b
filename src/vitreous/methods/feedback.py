"""What TAM and Beyond Intuition share: attention followed through the layers, times the class's answer to the last."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.errors import check_setting
from vitreous.methods.requirements import check_at_least
from vitreous.shapes import ClassRow, Images, Logits
from vitreous.trace.observe import observe
from vitreous.trace.observed import TokenGrid

__all__ = ["feedback", "first_layer"]


def feedback(
    model: nn.Module, images: Images, direction: Logits, steps: int, tokens: TokenGrid
) -> Float[Tensor, "batch tokens"]:
    """The class-token row of the last attention's gradient, averaged over pictures αx, positive part, mean over heads.

    α goes from 0 to 1 in equal steps, both ends counted; αx scales the normalised picture.

    Cost: `steps` forward passes, each with the backward pass of the last block.
    """
    check_at_least("steps", steps, 2)

    def gradient(scaled: Images) -> ClassRow:
        trace = observe(model, scaled)
        return trace.gradients(direction, trace.global_attentions[-1:])[0][:, :, tokens.class_token]

    first, *others = torch.linspace(0, 1, steps, dtype=torch.float64).tolist()
    total = gradient(images * first)
    for alpha in others:
        total = total + gradient(images * alpha)
    return (total / steps).relu().mean(1)


def first_layer(start_layer: int | None, layers: int, of_twelve: int) -> int:
    """The first layer of the product: as set, or by default at the share of the depth that it has in the paper.

    Raises:
        UnknownName: the model has no such layer.

    >>> first_layer(None, 12, 4), first_layer(None, 6, 4), first_layer(0, 6, 4)
    (4, 2, 0)
    """
    if start_layer is None:
        return layers * of_twelve // 12
    check_setting("start_layer", start_layer, range(layers))
    return start_layer
