"""Which patches of a picture look alike, attend to each other, and matter to the class through each other; regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from vitreous.errors import NoClassScores, or_why
from vitreous.interact.alike import cosine
from vitreous.interact.indicator import effect_of, patch_pairs
from vitreous.models.loaded import LoadedModel
from vitreous.render.numbers import check_block
from vitreous.render.relations import Relation, Relations
from vitreous.shapes import Images
from vitreous.trace.classifier import check_classifier
from vitreous.trace.features import patch_features
from vitreous.trace.observe import observe
from vitreous.trace.observed import Trace
from vitreous.trace.output import everything
from vitreous.trace.reading import Reading, reading
from vitreous.trace.settled import evaluating
from vitreous.trace.target import Target

__all__ = ["heads_of", "regions_of", "relations_of"]

_NOTHING: Relations = MappingProxyType({})


def relations_of(
    subject: LoadedModel, image: Images, targets: Sequence[Target], known: Relations = _NOTHING
) -> Relations:
    """The three meanings of "related" on one picture, each where the model has it, or why not.

    "alike": the cosine of patch features, where a CAM would read them. "attends": attention, heads averaged, per block.
    "matters": what an interaction adds to the class score, to first order, over all blocks, per class.

    Args:
        subject: the model, and how it is read.
        image: one, as the model takes it.
        targets: the classes; none of a model without a classifier.
        known: of the same picture and model, for any classes: what depends on none is taken from there.

    Cost: three forward passes and two backward ones, or one of each where relations are known; holds the attention of
    all blocks.
    """
    model = subject.model
    with reading(_readable(subject, image)):
        alike = known.get("alike") or or_why(lambda: _alike(model, image))
        trace = or_why(lambda: observe(model, image))
        if isinstance(trace, str):
            return {"alike": alike, "attends": trace, "matters": trace}
        attends = known.get("attends") or or_why(lambda: _attends(trace))
        matters = (
            or_why(lambda: _matters(trace, targets)) if targets else "there is no class that they could matter to."
        )
        return {"alike": alike, "attends": attends, "matters": matters}


def heads_of(subject: LoadedModel, image: Images, block: int) -> Relation:
    """How each patch of a picture shares out its attention in one block, by each head.

    Args:
        subject: the model, and how it is read.
        image: one, as the model takes it.
        block: its place among those that "attends" of `relations_of` has.

    Raises:
        UnknownName: there is no such block.
        ObservationError: as `observe`.

    Cost: a forward pass.
    """
    with reading(_readable(subject, image)):
        trace = observe(subject.model, image)
    blocks = trace.global_attentions
    check_block(block, len(blocks))
    heads = patch_pairs(blocks[block].weights.detach(), trace.tokens)[0]
    return _relation((trace.tokens.height, trace.tokens.width), heads, per="head")


def _readable(subject: LoadedModel, image: Images) -> Reading:
    """How the model is read: all of its output where it has no class scores."""
    with reading(subject.reading):
        try:
            check_classifier(subject.model, image)
        except NoClassScores:
            return replace(subject.reading, output=everything, link="identity")
    return subject.reading


def regions_of(model: nn.Module, images: Images) -> list[Int[Tensor, "batch _ _"]]:
    """Into which a model segments its pictures by itself, stage by stage; none of most models.

    Cost: a forward pass of a model that does.
    """
    segment: Any = getattr(model, "regions", None)
    if not callable(segment):
        return []
    with evaluating(model), torch.no_grad():
        found: Any = segment(images)
        return found


def _alike(model: nn.Module, image: Images) -> Relation:
    (maps,) = patch_features(model, image).maps
    return _relation((maps.shape[1], maps.shape[2]), cosine(maps, maps)[None])


def _attends(trace: Trace) -> Relation:
    tokens = trace.tokens
    blocks = [patch_pairs(each.weights.detach(), tokens)[0].mean(0) for each in trace.global_attentions]
    heads = min(each.weights.shape[1] for each in trace.global_attentions)
    return replace(_relation((tokens.height, tokens.width), torch.stack(blocks), per="block"), heads=heads)


def _matters(trace: Trace, targets: Sequence[Target]) -> Relation:
    classes = [effect_of(trace, target)[0].sum(0) for target in targets]
    return _relation((trace.tokens.height, trace.tokens.width), torch.stack(classes), per="class", signed=True)


def _relation(grid: tuple[int, int], values: Tensor, *, per: str = "", signed: bool = False) -> Relation:
    return Relation(grid, values.float().cpu().numpy(), per, signed)
