"""How alike patches are."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

__all__ = ["cosine"]


def cosine(
    one: Float[Tensor, "channels h w"], other: Float[Tensor, "channels h2 w2"]
) -> Float[Tensor, "patches others"]:
    """The cosine of each patch's features with each of the other's, row by row; 0 where features are all zeros."""
    rows, columns = (F.normalize(maps.flatten(1).double(), dim=0) for maps in (one, other))
    return rows.mT @ columns
