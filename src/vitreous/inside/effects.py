"""Whether a class rests on a concept: `concept_effects(model, pictures, concepts)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Unpack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.data.depth import Window
from vitreous.errors import ShapeError
from vitreous.explaining.explain import Preparation, inputs_of
from vitreous.explaining.targets import UserTarget, as_target
from vitreous.inside.concepts import Concepts, in_patches
from vitreous.masking.forward import Progress
from vitreous.models.zoo import LoadedModel, describe
from vitreous.settings.arguments import checked
from vitreous.settings.typed import Count, Passes, Seed
from vitreous.shapes import FeatureMaps
from vitreous.trace.classifier import check_classifier
from vitreous.trace.layer import find_layer
from vitreous.trace.layer_output import read_layer, run_with
from vitreous.trace.layout import Layer
from vitreous.trace.reading import Said, reading

if TYPE_CHECKING:
    from vitreous.explaining.explain import Picture

__all__ = ["Effects", "concept_effects", "random_directions"]


@dataclass(frozen=True, repr=False)
class Effects:
    """How far a class score moves when a concept is taken out of all patches, or put into all, and by chance.

    Attributes:
        removed: score without the concept less the score as it is: below 0 where the concept speaks for the class.
        added: score with the concept in every patch, as much as those have on average that have any, less the score as
            it is.
        removed_by_chance: likewise of random directions in the concept's place, the same length in every patch.
        added_by_chance: likewise.
        scores: of the images as they are.
    """

    removed: Float[Tensor, "images concepts"]
    added: Float[Tensor, "images concepts"]
    removed_by_chance: Float[Tensor, "draws images concepts"]
    added_by_chance: Float[Tensor, "draws images concepts"]
    scores: Float[Tensor, " images"]

    @property
    def chance(self) -> Float[Tensor, " concepts"]:
        """How often a random direction moves the mean score at least as far as the concept, by removal.

        Counted with the concept itself, so with n draws at least 1/(n + 1): a p-value, not corrected for how many
        concepts there are.
        """
        return _chance(self.removed, self.removed_by_chance)

    @property
    def chance_added(self) -> Float[Tensor, " concepts"]:
        """Likewise, by adding."""
        return _chance(self.added, self.added_by_chance)


def _chance(
    own: Float[Tensor, "images concepts"], drawn: Float[Tensor, "draws images concepts"]
) -> Float[Tensor, " concepts"]:
    as_far = drawn.double().mean(1).abs() >= own.double().mean(0).abs()
    return (1 + as_far.sum(0)) / (1 + len(drawn))


def random_directions(
    rows: Float[Tensor, "rows channels"], count: int, generator: torch.Generator
) -> Float[Tensor, "count channels"]:
    """Directions of length 1, drawn as the rows vary: a Gaussian of their covariance.

    Directions drawn evenly would mostly lie where no token ever goes, and be too easy to beat.
    """
    centered = rows - rows.mean(0)
    drawn = torch.randn(count, len(rows), generator=generator, dtype=rows.dtype) @ centered
    return drawn / drawn.norm(dim=1, keepdim=True)


@checked("model", "images", "target", "preprocess")
def concept_effects(
    model: nn.Module | LoadedModel,
    images: Tensor | Picture | Sequence[Picture],
    found: Concepts,
    target: UserTarget = None,
    *,
    draws: Passes = 20,
    seed: Seed = 0,
    batch_size: Count = 8,
    progress: Progress | None = None,
    preprocess: Preparation | None = None,
    pixel_window: Window = None,
    **how: Unpack[Said],
) -> Effects:
    """Measure how far a class score moves without a concept, and with it everywhere, against random directions.

    The layer's features f of each patch become f − much · direction, or f + m · direction, with m the mean of what
    patches have that have any; extra tokens stay, and the model runs on from there. Random directions are drawn as
    the tokens vary and take the concept's place, the same length in every patch. A concept that moves the score no
    further than these is a name for a direction, and no reason.

    Args:
        model: the one that the concepts were found in. It comes back as it was.
        images: as in `explain`; they need not be those that the concepts were found in.
        found: from `concepts`.
        target: the class, or whatever `explain` takes; None for each image's predicted one.
        draws: how many random directions for every concept: with fewer than 19, `chance` cannot be 0.05.
        seed: of the draws.
        batch_size: how many images run at once; bounds memory.
        progress: told how many forward passes of an image are done, and how many there are.
        preprocess: as in `explain`: how pictures become the model's input, where it does not say.
        pixel_window: as in `explain`: of gray pictures of more than 8 bits.
        how: the model is read, as in `similarity`.

    Raises:
        ShapeError: the layer has another number of channels than the concepts, or fewer than one draw.
        NoClassScores: the model has no classifier.
        ExplainError: as `explain` with a method that reads a layer.

    Cost: 2 · concepts · (1 + draws) forward passes of each image.

    >>> import torch, vitreous
    >>> model, images = vitreous.load(), torch.randn(2, 3, 128, 128)
    >>> vitreous.concept_effects(model, images, vitreous.concepts(model, images, 2), draws=1).removed.shape
    torch.Size([2, 2])
    """
    subject = describe(model).read_as(**how)
    inputs, _ = inputs_of(subject, images, preprocess, pixel_window)
    wanted = as_target(target, subject.class_names)
    generator = torch.Generator().manual_seed(seed)
    with reading(subject.reading):
        check_classifier(subject.model, inputs)
        layer = find_layer(subject.model, inputs, found.layer)
        parts = [read_layer(subject.model, part, layer) for part in inputs.split(batch_size)]
        maps = torch.cat([part.maps for part in parts])
        if maps.shape[1] != len(found.mean):
            raise ShapeError(
                f"`{found.layer}` of `{type(subject.model).__name__}` gives {maps.shape[1]} channels, and the concepts "
                f"have {len(found.mean)}. Give the model that they were found in."
            )
        logits = torch.cat([part.logits.detach() for part in parts])
        direction = wanted(logits)
        own = (logits * direction).sum(1)
        much = in_patches(maps, found).to(maps)
        rows = maps.movedim(1, -1).flatten(0, 2).double().cpu()
        count, steps = len(found.directions), 0
        tried = [found.directions, *(random_directions(rows, count, generator) for _ in range(draws))]
        moved = maps.new_empty(2, 1 + draws, len(inputs), count)
        for draw, directions in enumerate(tried):
            for at, one in enumerate(directions.to(maps)):
                ahead = one[:, None, None]
                for side, change in enumerate((-much[:, at, None] * ahead, _typical(found, at) * ahead)):
                    changed = (maps + change).split(batch_size)
                    scores = [
                        run_with(subject.model, part, layer, partial(_replaced, layer, each))
                        for part, each in zip(inputs.split(batch_size), changed, strict=True)
                    ]
                    moved[side, draw, :, at] = (torch.cat(scores) * direction).sum(1) - own
                    steps += 1
                    if progress:
                        progress(steps, moved[..., 0, :].numel())
    return Effects(moved[0, 0], moved[1, 0], moved[0, 1:], moved[1, 1:], own)


def _typical(found: Concepts, concept: int) -> float:
    """How much of a concept those patches have on average that have any."""
    much = found.maps[:, concept]
    return much[much > 0].mean().item()


def _replaced(layer: Layer, maps: FeatureMaps, output: Tensor) -> Tensor:
    return layer.with_maps(output, maps)
