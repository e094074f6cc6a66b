"""Texts as classes: a model of pictures and texts, seen as a classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.shapes import Images

__all__ = ["PromptClassifier"]


class PromptClassifier(nn.Module):
    """One class per text: logits are scale · cos(image, text) + bias, as such models are trained.

    Args:
        model: with a `logit_scale`, and a `logit_bias` where it was trained with one.
        encode: from the model and images to the images' features, (batch, features).
        texts: (classes, features), the texts' features.
    """

    def __init__(
        self, model: Any, encode: Callable[[Any, Tensor], Tensor], texts: Float[Tensor, "classes features"]
    ) -> None:
        super().__init__()
        self.model, self.encode = model, encode
        self.texts: Tensor
        self.register_buffer("texts", F.normalize(texts, dim=1))

    def forward(self, images: Images) -> Tensor:
        """(batch, classes) logits; more of them while an observation makes copies of the tokens."""
        features = F.normalize(self.encode(self.model, images), dim=1)
        logits = features @ self.texts.T * self.model.logit_scale.exp()
        bias = getattr(self.model, "logit_bias", None)
        return logits if bias is None else logits + bias
