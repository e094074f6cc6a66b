"""Effective responsive fields: the patches that each one looks at.

The abstract uses them; how they are found is our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vitreous.interact.indicator import Pairs, PatchScore
from vitreous.masking.ties import levels
from vitreous.trace.observed import TokenGrid

__all__ = ["FieldShape", "Fields", "Form", "attention_distance", "positions", "responsive_fields", "shape_of"]

Fields = Bool[Tensor, "*images patches patches"]
"""Per query (first), which keys are in its field. Every patch is in its own."""
Form = Literal["set", "box"]
"""Of a field: the keys that are taken most from, wherever they lie, or an adaptive window."""


def positions(tokens: TokenGrid) -> Float[Tensor, "patches 2"]:
    """Row and column of each patch."""
    rows, columns = torch.meshgrid(torch.arange(tokens.height), torch.arange(tokens.width), indexing="ij")
    return torch.stack([rows.flatten(), columns.flatten()], 1).double()


def responsive_fields(indicator: Pairs, tokens: TokenGrid, mass: float = 0.5) -> Fields:
    """The smallest set of keys that holds this share of each query's indicator, and the query itself (our own).

    Among equals the closer key comes first, then the one of lower index, so that a uniform row gives a round field.

    >>> responsive_fields(torch.ones(4, 4), TokenGrid(0, 2, 2))[0].view(2, 2)
    tensor([[ True,  True],
            [False, False]])
    """
    distances = torch.cdist(positions(tokens), positions(tokens)).to(indicator.device)
    nearest = distances.argsort(dim=-1, stable=True).expand_as(indicator)
    by_value = levels(indicator).gather(-1, nearest).argsort(dim=-1, descending=True, stable=True)
    order = nearest.gather(-1, by_value)
    falling = indicator.gather(-1, order).double()
    held = falling.cumsum(-1)
    # a key is needed as long as those before it do not hold the mass; the tolerance is for sums that round
    before = held - falling
    needed = before < held[..., -1:] * (mass - 1e-6)
    fields = torch.zeros_like(needed).scatter(-1, order, needed)
    return fields | torch.eye(tokens.height * tokens.width, dtype=torch.bool, device=fields.device)


@dataclass(frozen=True)
class FieldShape:
    """The shape of each query's field, keys weighted by the indicator (our own).

    Attributes:
        size: share of all patches.
        radius: root of the mean squared distance from the query, in patches.
        tendency: (…, patches, 2), rows and columns from the query to the field's centroid, in patches.
        anisotropy: larger over smaller eigenvalue of the field's covariance; infinite on a line, NaN at a point.
    """

    size: PatchScore
    radius: PatchScore
    tendency: Float[Tensor, "*images patches 2"]
    anisotropy: PatchScore


def shape_of(fields: Fields, indicator: Pairs, tokens: TokenGrid) -> FieldShape:
    """Size, radius, tendency and anisotropy of responsive fields."""
    places = positions(tokens).to(indicator)
    weights = indicator * fields
    weights = weights / weights.sum(-1, keepdim=True)
    offsets = places - places[:, None]  # (query, key, 2)
    tendency = torch.einsum("...qk,qkd->...qd", weights, offsets)
    radius = torch.einsum("...qk,qk->...q", weights, offsets.square().sum(-1)).sqrt()
    second = torch.einsum("...qk,qkd,qke->...qde", weights, offsets, offsets)
    spread = torch.linalg.eigvalsh(second - tendency[..., :, None] * tendency[..., None, :]).clamp(min=0)
    # what is 0 but for rounding is 0: a line, or a point
    spread = spread.where(spread > 1e-6 * radius.square()[..., None], 0)
    return FieldShape(fields.to(indicator).mean(-1), radius, tendency, spread[..., 1] / spread[..., 0])


def attention_distance(strength: Pairs, tokens: TokenGrid) -> PatchScore:
    """How far each query looks: the mean distance of keys, weighted by strength, in patches."""
    places = positions(tokens).to(strength)
    return (strength * torch.cdist(places, places)).sum(-1) / strength.sum(-1)
