"""How the patches of some pictures act on each other: `interactions(model, images)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

import torch
from torch import Tensor, nn

from vitreous.data.depth import Window
from vitreous.errors import NoClassScores
from vitreous.explaining.explain import Preparation, inputs_of
from vitreous.interact import indicator
from vitreous.interact.indicator import Interactions
from vitreous.models.zoo import LoadedModel, describe
from vitreous.settings.arguments import checked
from vitreous.settings.typed import Count
from vitreous.trace.classifier import check_classifier
from vitreous.trace.output import everything
from vitreous.trace.reading import Said, reading

if TYPE_CHECKING:
    from vitreous.explaining.explain import Picture

__all__ = ["interactions", "interactions_of"]


@checked("model", "images", "preprocess")
def interactions(
    model: nn.Module | LoadedModel,
    images: Tensor | Picture | Sequence[Picture],
    *,
    batch_size: Count = 8,
    preprocess: Preparation | None = None,
    pixel_window: Window = None,
    **how: Unpack[Said],
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
        how: the model is read, where it cannot be told: `output`, `link`, `part`, `call`, `grid` and `patches`, as for
            `explain`.

    Returns:
        (batch, blocks, patches, patches) of strength and of uncertainty, query first, on the model's device.

    Raises:
        ExplainError: an input or a model without attention between all patches; the message says what to do.
    """
    subject = describe(model).read_as(**how)
    inputs, _ = inputs_of(subject, images, preprocess, pixel_window)
    parts = [interactions_of(subject, part) for part in inputs.split(batch_size)]
    scores = [part.logits for part in parts if part.logits is not None]
    return Interactions(
        torch.cat([part.strength for part in parts]),
        torch.cat([part.uncertainty for part in parts]),
        parts[0].tokens,
        torch.cat(scores) if scores else None,
    )


def interactions_of(subject: LoadedModel, images: Tensor) -> Interactions:
    """The interactions in one batch; of a model without a classifier, without `logits`."""
    try:
        with reading(subject.reading):
            check_classifier(subject.model, images)
            return indicator.interactions(subject.model, images)
    except NoClassScores:
        with reading(replace(subject.reading, output=everything)):
            return replace(indicator.interactions(subject.model, images), logits=None)
