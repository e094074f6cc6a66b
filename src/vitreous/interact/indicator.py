"""The quantification indicator: how much each patch takes from each other one.

The abstract has one; its form is our own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.errors import ObservationError, ShapeError
from vitreous.shapes import Images, Logits, Weights
from vitreous.trace.each_attention import each_attention
from vitreous.trace.observe import observe
from vitreous.trace.observed import TokenGrid, Trace
from vitreous.trace.target import Predicted, Target

__all__ = [
    "Averages",
    "Indicator",
    "Interactions",
    "Pairs",
    "PatchScore",
    "average",
    "between_patches",
    "certainty",
    "discriminativeness",
    "effect",
    "effect_of",
    "entropy",
    "impact",
    "importance",
    "interactions",
    "patch_pairs",
    "received",
]

Pairs = Float[Tensor, "*images patches patches"]
"""A number per query (first) and key (second): how much the query takes from the key."""
PatchScore = Float[Tensor, "*images patches"]
"""A number per patch."""
Indicator = Literal["certainty", "strength"]
"""Which number of `Interactions` or `Averages` chooses the keys of a field."""


@dataclass(frozen=True, repr=False)
class Interactions:
    """The interactions of the patches of a batch, per attention block, heads summarized.

    A reconstruction after the abstract of arXiv 2203.05922.

    Attributes:
        strength: (batch, blocks, patches, patches), mean over heads of N · A: 1 is what uniform attention would give.
        uncertainty: likewise, standard deviation over heads: how much they disagree.
        tokens: how the patches lie on the picture.
        logits: (batch, classes), the model's class scores; None of a model without a classifier.
    """

    strength: Float[Tensor, "batch blocks patches patches"]
    uncertainty: Float[Tensor, "batch blocks patches patches"]
    tokens: TokenGrid
    logits: Logits | None

    def __repr__(self) -> str:
        images, blocks, patches = self.strength.shape[:3]
        grid = f"{self.tokens.height}×{self.tokens.width}"
        return f"Interactions({images} × {patches} patches ({grid}) in {blocks} blocks)"

    def _repr_html_(self) -> str:
        """What a notebook shows: how much others take from each patch, in all blocks and in each."""
        from vitreous.interact.shown import shown

        return shown(repr(self), received(self.strength), self.tokens)

    @property
    def certainty(self) -> Pairs:
        """Strength over uncertainty: strong, and the heads agree (our own)."""
        return certainty(self.strength, self.uncertainty)


@dataclass(frozen=True)
class Averages:
    """The interactions of patches, averaged over many images, per attention block.

    A reconstruction after the abstract of arXiv 2203.05922.

    Attributes:
        strength: (blocks, patches, patches), the mean over images of `Interactions.strength`.
        uncertainty: likewise of `Interactions.uncertainty`.
        tokens: how the patches lie on the picture.
        images: how many were averaged.
    """

    strength: Float[Tensor, "blocks patches patches"]
    uncertainty: Float[Tensor, "blocks patches patches"]
    tokens: TokenGrid
    images: int

    @property
    def certainty(self) -> Pairs:
        """Strength over uncertainty, both averaged first (our own)."""
        return certainty(self.strength, self.uncertainty)


def certainty(strength: Pairs, uncertainty: Pairs) -> Pairs:
    """Strength over uncertainty: strong, and the heads agree (our own)."""
    return strength / (uncertainty + 1e-6)


def interactions(model: nn.Module, images: Images) -> Interactions:
    """Strength and uncertainty of every interaction between patches, per block (our own).

    Attention is taken between patches alone: extra tokens are left out and the rows made to sum to 1 again.

    Args:
        model: with attention between all patches; comes back as it was.
        images: (batch, channels, height, width), normalized.

    Raises:
        NothingObserved, NoTokenGrid, NoGlobalAttention, ModelError, ShapeError: as `observe` and `Trace`.
        ObservationError: a patch attends to extra tokens alone, as far as the precision shows.

    Cost: one forward pass; holds the attention of one block at a time, and 2 · batch · blocks · patches² numbers.
    """
    strength: list[Tensor] = []
    uncertainty: list[Tensor] = []

    def each(tokens: TokenGrid, weights: Weights) -> None:
        patches = between_patches(weights, tokens)
        strength.append(patches.mean(1))
        uncertainty.append(_deviation(patches, 1))

    logits, tokens = each_attention(model, images, each)
    found = Interactions(torch.stack(strength, 1), torch.stack(uncertainty, 1), tokens, logits)
    if not found.strength.isfinite().all():
        raise ObservationError(
            f"a patch in `{type(model).__name__}` gives other patches no attention that {logits.dtype} can hold. "
            "Run the model in a wider type: model.double()."
        )
    return found


def average(model: nn.Module, batches: Iterable[Tensor]) -> Averages:
    """The interactions of a calibration set, averaged as its batches come (our own).

    Args:
        model: with attention between all patches; comes back as it was.
        batches: (batch, channels, height, width) each, normalized, all of one size.

    Raises:
        ShapeError: no batches, or images of different sizes.
        NothingObserved, NoTokenGrid, NoGlobalAttention, ModelError, ObservationError: as `interactions`.

    Cost: one forward pass; holds 2 · blocks · patches² numbers in float64, and a batch of `interactions`.
    """
    total: tuple[Tensor, Tensor] | None = None
    tokens, images = None, 0
    for batch in batches:
        found = interactions(model, batch)
        if tokens not in (None, found.tokens):
            raise ShapeError(
                f"a batch has a {found.tokens.height}×{found.tokens.width} grid of patches, those before it "
                f"{tokens.height}×{tokens.width}. Bring all images to one size."
            )
        added = [pairs.sum(0, dtype=torch.float64) for pairs in (found.strength, found.uncertainty)]
        total = (added[0], added[1]) if total is None else (total[0] + added[0], total[1] + added[1])
        tokens, images = found.tokens, images + len(batch)
    if total is None or tokens is None:
        raise ShapeError("`batches` is empty. Give at least one batch of images.")
    return Averages(total[0] / images, total[1] / images, tokens, images)


def impact(model: nn.Module, images: Images, target: Target = Predicted()) -> Pairs:  # noqa: B008
    """How much the class score would change, to first order, if an interaction were cut: |Σ_heads A · ∂y/∂A| (our own).

    As `effect`, without the sign. Over several blocks, sum their effects first.
    """
    return effect(model, images, target).abs()


def effect(model: nn.Module, images: Images, target: Target = Predicted()) -> Pairs:  # noqa: B008
    """What an interaction adds to the class score, to first order: Σ_heads A · ∂y/∂A (our own).

    Returns:
        (batch, blocks, patches, patches), per block.

    Raises:
        as `interactions`.

    Cost: one forward and one backward pass; holds the attention of all blocks.
    """
    return effect_of(observe(model, images), target)


def effect_of(trace: Trace, target: Target) -> Pairs:
    """`effect`, of a pass that was observed: one backward pass."""
    tokens, attentions = trace.tokens, trace.global_attentions
    grads = trace.gradients(target(trace.logits.detach()), attentions)
    blocks = [
        patch_pairs((attention.weights.detach() * grad).sum(1), tokens)
        for attention, grad in zip(attentions, grads, strict=True)
    ]
    return torch.stack(blocks, 1)


def importance(model: nn.Module, images: Images, target: Target = Predicted()) -> PatchScore:  # noqa: B008
    """What all tokens, the class token too, take from each patch, by what it adds to the class score (our own).

    To first order: Σ_blocks Σ_heads Σ_queries A · ∂y/∂A.

    Returns:
        (batch, patches).

    Raises:
        as `interactions`.

    Cost: one forward and one backward pass; holds the attention of all blocks.
    """
    trace = observe(model, images)
    attentions = trace.global_attentions
    grads = trace.gradients(target(trace.logits.detach()), attentions)
    taken = [(each.weights.detach() * grad).sum((1, 2)) for each, grad in zip(attentions, grads, strict=True)]
    return trace.tokens.of_patches(torch.stack(taken).sum(0))


def between_patches(
    weights: Float[Tensor, "batch heads tokens tokens"], tokens: TokenGrid
) -> Float[Tensor, "batch heads patches patches"]:
    """N times the attention between patches, rows summing to N: 1 is uniform. Half precision becomes float32."""
    patches = patch_pairs(weights, tokens)
    patches = patches.to(torch.promote_types(patches.dtype, torch.float32))
    return patches / patches.sum(-1, keepdim=True) * patches.shape[-1]


def patch_pairs(weights: Tensor, tokens: TokenGrid) -> Tensor:
    """Of every pair of tokens, those of patches, row by row."""
    return tokens.of_patches(tokens.of_patches(weights, -2), -1)


def received(strength: Pairs) -> PatchScore:
    """How much others take from each patch: the mean over queries; 1 on average (our own)."""
    return strength.mean(-2)


def discriminativeness(strength: Pairs) -> PatchScore:
    """Whether a patch matters differently to different queries: the standard deviation over queries (our own).

    A patch is indiscriminative, in the abstract's word, where this is small: all others use it alike.
    """
    return _deviation(strength, -2)


def entropy(strength: Pairs) -> PatchScore:
    """How evenly each query looks, from 0 (at one patch) to 1 (at all alike) (our own)."""
    share = strength / strength.sum(-1, keepdim=True)
    return torch.special.entr(share).sum(-1) / math.log(strength.shape[-1])


def _deviation(values: Tensor, dim: int) -> Tensor:
    """The standard deviation, without correction; torch's own is slow over an axis that is not last."""
    return (values - values.mean(dim, keepdim=True)).square_().mean(dim).sqrt_()
