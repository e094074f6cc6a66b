"""Masked forward passes: the class scores of images under many masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.errors import ShapeError
from vitreous.masking.fill import Fill
from vitreous.masking.mixing import EmbedOnce, Mixture
from vitreous.shapes import Images
from vitreous.trace.chance import no_chance
from vitreous.trace.changes import changes
from vitreous.trace.running import run
from vitreous.trace.settled import check_precise
from vitreous.trace.target import logits_of

__all__ = ["Masks", "Progress", "masked_logits"]

Progress = Callable[[int, int], object]
"""Told after every forward pass how many masked images are done, and how many there are to do."""


@runtime_checkable
class Masks(Protocol):
    """Masks in order: a tensor (masks, h, w), or an object that makes a slice of it when asked."""

    def __len__(self) -> int:
        """How many masks there are."""
        ...

    def __getitem__(self, part: slice, /) -> Tensor:
        """(part, h, w): what is hidden, bool or a share from 0 to 1, on a grid that tiles the picture."""
        ...


def masked_logits(
    model: nn.Module,
    images: Images,
    hidden: Masks | list[Masks],
    fill: Fill,
    *,
    batch_size: int = 64,
    progress: Progress | None = None,
) -> Float[Tensor, "batch masks classes"]:
    """The class scores of every image under every mask.

    Args:
        model: comes back as it was.
        images: (batch, channels, height, width), normalised.
        hidden: the masks for all images alike, or a list with as many masks for each.
        fill: what is put in the place of what is hidden, made from the whole image once.
        batch_size: masked images per forward pass; bounds memory, changes nothing else.
        progress: told how far it is.

    Raises:
        ShapeError: a mask does not tile the picture, or images have different numbers of masks.
        ModelError: a Mac's GPU has the images.

    Cost: batch × masks forward passes, less what embeds hidden patches.
    """
    check_precise(images.device)
    each = hidden if isinstance(hidden, list) else [hidden] * len(images)
    if len({len(masks) for masks in each}) != 1 or len(each) != len(images):
        raise ShapeError(
            f"{len(images)} images got masks in numbers of {[len(masks) for masks in each]}. "
            "Give each image as many masks."
        )
    count = len(each[0])
    total = count * len(images)
    parts: list[Tensor] = []
    with no_chance(model, images), torch.inference_mode(False), changes() as change:
        change.evaluate(model)
        change.gradients(False)
        filling = fill(images)
        for start in range(0, total, batch_size):
            end = min(start + batch_size, total)
            # one pass may hold the last masks of an image and the first of the next
            mixtures = [
                Mixture(images[at], filling[at], each[at][max(start - at * count, 0) : min(end - at * count, count)])
                for at in range(start // count, (end - 1) // count + 1)
            ]
            masked = torch.cat([mixture.mixed() for mixture in mixtures])
            with changes() as embedding:
                embedding.enter(EmbedOnce(masked, mixtures))
                parts.append(logits_of(run(model, masked), type(model).__name__, len(masked)))
            if progress:
                progress(end, total)
    return torch.cat(parts).unflatten(0, (len(images), count))
