"""Exact interventions: cut one interaction and run again. What an indicator should foretell (our own)."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vitreous.errors import ObservationError, ShapeError
from vitreous.interact.indicator import Pairs, certainty, impact, interactions
from vitreous.metrics.stability import rank_correlation
from vitreous.render.numbers import block_name
from vitreous.shapes import Images
from vitreous.trace.restrict import restricted_logits
from vitreous.trace.target import Predicted, Target, value_of

__all__ = ["QueryAndKey", "cut", "draw_pairs", "quality"]

QueryAndKey = Int[Tensor, "pairs 2"]
"""Patches: the query, and the key that it no longer sees."""


def cut(
    model: nn.Module,
    images: Images,
    block: int,
    pairs: QueryAndKey,
    target: Target = Predicted(),  # noqa: B008
    *,
    batch_size: int = 64,
) -> Float[Tensor, "batch pairs"]:
    """How much the class probability changes when one interaction of a block is cut: |p - p'|, for each pair alone.

    Args:
        model: comes back as it was.
        images: (batch, channels, height, width), normalized.
        block: which attention between all tokens, from 0.
        pairs: what is cut; a patch's interaction with itself cannot be.
        target: whose probability.
        batch_size: cut images per forward pass; bounds memory.

    Raises:
        ShapeError: a pair that does not exist, or a patch with itself.
        ObservationError, …: as `restricted_logits` and `interactions`.

    Cost: 2 + batch × pairs forward passes of one image.
    """
    seen = interactions(model, images)
    patches = seen.tokens.height * seen.tokens.width
    queries, keys = pairs.to(images.device).unbind(1)
    if ((pairs < 0) | (pairs >= patches)).any() or (queries == keys).any():
        raise ShapeError(
            f"`pairs` must name two different patches from 0 to {patches - 1} each. Leave out a patch with itself."
        )
    whole = restricted_logits(model, images, {})
    direction = target(whole)
    everything = torch.arange(len(images) * len(pairs), device=images.device)
    logits: list[Tensor] = []
    for part in everything.split(batch_size):
        image, pair = part // len(pairs), part % len(pairs)
        kept = torch.ones(len(part), patches, patches, dtype=torch.bool, device=images.device)
        kept[torch.arange(len(part), device=images.device), queries[pair], keys[pair]] = False
        logits.append(restricted_logits(model, images[image], {block: kept}))
    cuts = torch.cat(logits).unflatten(0, (len(images), len(pairs)))
    before = value_of(whole[:, None], direction, "probability")
    return (value_of(cuts, direction, "probability") - before).abs()


def draw_pairs(patches: int, count: int, seed: int = 0) -> QueryAndKey:
    """Random pairs of different patches, none twice."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randperm(patches * (patches - 1), generator=generator)[:count]
    query, other = drawn // (patches - 1), drawn % (patches - 1)
    return torch.stack([query, other + (other >= query)], 1)


def quality(
    model: nn.Module,
    images: Images,
    block: int,
    target: Target = Predicted(),  # noqa: B008
    *,
    pairs: int = 128,
    seed: int = 0,
    batch_size: int = 64,
) -> dict[str, Float[Tensor, " batch"]]:
    """Spearman's correlation of each indicator with what cutting does, over random pairs of a block (our own).

    Returns:
        by indicator ("strength", "certainty", "uncertainty", "impact"), per image.

    Raises:
        ObservationError: cutting changes nothing, as in the last block of a class-token model.
        …: as `cut`.

    Cost: 4 + batch × pairs forward passes of one image, and one backward pass.
    """
    seen = interactions(model, images)
    drawn = draw_pairs(seen.tokens.height * seen.tokens.width, pairs, seed).to(images.device)
    effect = cut(model, images, block, drawn, target, batch_size=batch_size)
    if (effect == effect[:, :1]).all(1).any():
        raise ObservationError(
            f"cutting interactions between patches in {block_name(block)} of `{type(model).__name__}` changes no class "
            "probability: nothing reads them afterwards. Take an earlier block."
        )
    strength, uncertainty = seen.strength[:, block], seen.uncertainty[:, block]
    indicators: dict[str, Pairs] = {
        "strength": strength,
        "certainty": certainty(strength, uncertainty),
        "uncertainty": uncertainty,
        "impact": impact(model, images, target)[:, block],
    }
    queries, keys = drawn.unbind(1)
    return {name: rank_correlation(pairs[:, queries, keys], effect) for name, pairs in indicators.items()}
