"""A second model for the first one's input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.models.loaded import LoadedModel

__all__ = ["Adapted"]


class Adapted(nn.Module):
    """A classifier that takes images prepared for another: it undoes their normalization, resizes and does its own.

    Where one of the two does not say how its pictures are prepared, images pass unchanged.

    Args:
        subject: the classifier.
        source: the other.

    Attributes:
        reading: how it is read.
    """

    def __init__(self, subject: LoadedModel, source: LoadedModel) -> None:
        super().__init__()
        self.subject, self.model = subject, subject.model
        how = subject.reading
        self.reading = replace(how, part=f"model.{how.part}") if how.part else how
        self._known = source.preprocess and subject.preprocess and (source.preprocess, subject.preprocess)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Any:
        """What the classifier returns for these images."""
        if not self._known:
            return self.model(images)
        other, own = self._known
        pixels = images * _per_channel(images, other.std) + _per_channel(images, other.mean)
        if tuple(images.shape[-2:]) != own.size:
            pixels = F.interpolate(pixels, own.size, mode="bilinear", align_corners=False, antialias=True)
        return self.model((pixels - _per_channel(images, own.mean)) / _per_channel(images, own.std))

    def __repr__(self) -> str:
        return self.subject.name


def _per_channel(images: Tensor, values: tuple[float, ...]) -> Tensor:
    return images.new_tensor(values)[:, None, None]
