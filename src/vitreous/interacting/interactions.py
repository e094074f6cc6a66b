"""How the patches of some pictures act on each other: `interactions(model, images)`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vitreous.data.depth import Window
from vitreous.errors import ShapeError
from vitreous.explaining.explain import Preparation, inputs_of
from vitreous.interact import indicator
from vitreous.interact.indicator import Interactions
from vitreous.models.zoo import LoadedModel, describe

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    Picture = str | Path | Image | NDArray[Any]

__all__ = ["interactions"]


def interactions(
    model: nn.Module | LoadedModel,
    images: Tensor | Picture | Sequence[Picture],
    *,
    batch_size: int = 8,
    preprocess: Preparation | None = None,
    pixel_window: Window = None,
) -> Interactions:
    """Measure how much each patch takes from each other one, in every block of a Vision Transformer.

    A reconstruction after the abstract of arXiv 2203.05922: strength is N times the attention between patches, averaged
    over heads, and uncertainty is how much the heads disagree.

    Args:
        model: your own module, or what `vitreous.load` gave. It comes back as it was.
        images: a tensor (batch, channels, height, width) or one image without the batch axis, taken as the model's
            normalized input; or pictures (paths, PIL, uint8 arrays), which go through the preprocessing.
        batch_size: how many images run at once; bounds memory.
        preprocess: as in `explain`: how pictures become the model's input, where it does not say.
        pixel_window: as in `explain`: of gray pictures of more than 8 bits.

    Returns:
        (batch, blocks, patches, patches) of strength and of uncertainty, query first, on the model's device.

    Raises:
        ExplainError: an input or a model without attention between all patches; the message says what to do.
    """
    subject = describe(model)
    inputs, _ = inputs_of(subject, images, preprocess, pixel_window)
    if batch_size < 1:
        raise ShapeError(f"`batch_size` must be at least 1; got {batch_size}. Give a whole number.")
    parts = [indicator.interactions(subject.model, part) for part in inputs.split(batch_size)]
    return Interactions(
        torch.cat([part.strength for part in parts]),
        torch.cat([part.uncertainty for part in parts]),
        parts[0].tokens,
        torch.cat([part.logits for part in parts]),
    )
