"""Some patches hidden by hand: what the model then says, and what a map foretold."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vitreous.errors import ShapeError
from vitreous.explaining.trust.followed import follow, read_for
from vitreous.explaining.trust.orders import patch_values
from vitreous.masking.patches import refine
from vitreous.metrics.bands import hidden_logits
from vitreous.metrics.fills import metric_fill
from vitreous.models.loaded import LoadedModel
from vitreous.shapes import Images
from vitreous.trace.answer import Answer, best_answers
from vitreous.trace.reading import reading
from vitreous.trace.target import Target

__all__ = ["Hidden", "foretold", "hide"]


@dataclass(frozen=True)
class Hidden:
    """What the model says of a picture of which some patches are hidden.

    Attributes:
        said: the most probable classes, best first.
        of: what the values are, in words.
        before: the value of what is explained on the untouched picture.
        measured: with these patches hidden.
        blank: with all of it hidden.
    """

    said: tuple[Answer, ...]
    of: str
    before: float
    measured: float
    blank: float


def hide(
    subject: LoadedModel, image: Images, hidden: Bool[Tensor, "rows columns"], target: Target, *, fill: str = "mean"
) -> Hidden:
    """Hide patches and ask the model again.

    Args:
        subject: the model, and how it is read.
        image: its input, alone.
        hidden: on any grid that is no finer than the picture.
        target: what is explained.
        fill: what is put in the place of patches, one of `METRIC_FILLS`.

    Raises:
        ShapeError: the grid is finer than the picture.
        DegenerateMap: hiding the whole picture moves nothing.

    Cost: three forward passes.
    """
    size = (image.shape[2], image.shape[3])
    if hidden.shape[0] > size[0] or hidden.shape[1] > size[1]:
        raise ShapeError(f"a grid of {tuple(hidden.shape)} patches is finer than the model's input, {size} pixels.")
    masks = refine(torch.stack([torch.zeros_like(hidden), hidden, torch.ones_like(hidden)]), size)
    mean, std = (subject.preprocess.mean, subject.preprocess.std) if subject.preprocess else ((), ())
    with reading(read_for(subject.reading, target)):
        logits = hidden_logits(subject.model, image, masks.to(image.device), metric_fill(fill, mean, std))[0]
        values, of = follow(logits, target, subject)
    said = best_answers(logits[1], subject.class_names, subject.reading.link)
    return Hidden(said, of, *values.tolist())


def foretold(
    heatmap: Float[Tensor, "h w"], hidden: Bool[Tensor, "rows columns"], found: Hidden, size: tuple[int, int]
) -> float | None:
    """The value if each patch mattered in proportion to its value on the map: the share of it that is hidden is lost.

    Nothing where the map speaks against what it explains as a whole, so that there is no share.

    >>> found = Hidden((), "probability of cat", 0.9, 0.5, 0.1)
    >>> round(foretold(torch.tensor([[3.0, 1.0]]), torch.tensor([[True, False]]), found, (8, 16)), 9)
    0.3
    """
    values = patch_values(heatmap, (hidden.shape[0], hidden.shape[1]), size)
    total = values.sum().item()
    if total <= 0:
        return None
    return found.before + values[hidden.flatten().cpu()].sum().item() / total * (found.blank - found.before)
