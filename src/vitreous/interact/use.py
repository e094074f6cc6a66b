"""What the tokens of a model make of each patch, and which patches go first.

The abstract has some go; which is our own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vitreous.errors import NoClassToken
from vitreous.interact.indicator import Pairs, PatchScore, between_patches, discriminativeness, entropy, received
from vitreous.masking.ties import levels
from vitreous.shapes import Images, Weights
from vitreous.trace.each_attention import each_attention
from vitreous.trace.observe import observe
from vitreous.trace.observed import TokenGrid
from vitreous.trace.recorder import tokens_of

__all__ = [
    "SCORES",
    "PatchUse",
    "Score",
    "UseSoFar",
    "class_attention",
    "kept_patches",
    "kept_tokens",
    "random_score",
    "tokens_read",
    "uses",
]


@dataclass(frozen=True)
class PatchUse:
    """What the tokens make of each patch, heads averaged.

    Attributes:
        strength: between patches; see `Interactions`.
        asked: (batch, extra, patches), the attention that extra tokens give to patches.
        tokens: how they lie.
    """

    strength: Pairs
    asked: Float[Tensor, "batch extra patches"]
    tokens: TokenGrid


Score = Callable[[PatchUse], PatchScore]
"""Patches of the lowest score are removed."""


def class_attention(use: PatchUse) -> PatchScore:
    """What the class token takes from each patch.

    Raises:
        NoClassToken: there are no extra tokens.
    """
    if not use.asked.shape[1]:
        raise NoClassToken(
            'patches cannot be removed by "class_attention" in a model without a class token. Use "received".'
        )
    return use.asked[:, use.tokens.extra_places.index(use.tokens.class_token)]


def random_score(seeds: Sequence[int]) -> Score:
    """A control: a number per patch that is random and known by the image's seed."""

    def score(use: PatchUse) -> PatchScore:
        draws = [torch.rand(use.strength.shape[-1], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.stack(draws).to(use.strength)

    return score


SCORES: Mapping[str, Score] = {
    "lowest": lambda use: discriminativeness(use.strength),
    "highest": lambda use: -discriminativeness(use.strength),
    "received": lambda use: received(use.strength),
    "class_attention": class_attention,
    "entropy": lambda use: entropy(use.strength),
}
"""Which patches go first: the least discriminative; as controls the most discriminative, those that others take least
from, those that the class token takes least from, and those whose own attention is the most pointed."""


@dataclass
class UseSoFar:
    """Sums over the blocks that have run; one batch × patches² array, however many they are.

    Attributes:
        tokens: how they lie.
        blocks: how many have run.
        strength: sum of theirs.
        asked: likewise.
    """

    tokens: TokenGrid
    blocks: int = 0
    strength: Tensor | float = 0.0
    asked: Tensor | float = 0.0

    def add(self, weights: Weights) -> None:
        """Take in the attention of one more block."""
        self.blocks += 1
        self.strength = self.strength + between_patches(weights, self.tokens).mean(1)
        self.asked = self.asked + self.tokens.of_patches(self.tokens.of_extra(weights, -2), -1).mean(1)

    def mean(self) -> PatchUse:
        """The average over these blocks; at least one must have run."""
        strength, asked = torch.as_tensor(self.strength) / self.blocks, torch.as_tensor(self.asked) / self.blocks
        return PatchUse(strength, asked.to(strength), self.tokens)


def uses(model: nn.Module, images: Images, after: Sequence[int]) -> list[PatchUse]:
    """What the first so many blocks make of each patch, for each number of blocks; 0 stands for all of them.

    Raises:
        as `interactions`.

    Cost: one forward pass; holds one batch × patches² array for each.
    """
    so_far, found = UseSoFar(tokens_read(model, images)), dict[int, PatchUse]()

    def each(_: TokenGrid, weights: Weights) -> None:
        so_far.add(weights)
        if so_far.blocks in after:
            found[so_far.blocks] = so_far.mean()

    each_attention(model, images, each)
    found[0] = so_far.mean()
    return [found[blocks] for blocks in after]


def tokens_read(model: nn.Module, images: Images) -> TokenGrid:
    """How the tokens lie, and which of those beside the patches is the class token.

    Raises:
        as `interactions`.

    Cost: four runs of one image up to the first attention; where several tokens could be the class token, also a
    forward pass of one image and the backward pass of its last block.
    """
    tokens = tokens_of(model, images)
    if tokens.extra < 2:
        return tokens
    return tokens.read_by(tokens.of_extra(observe(model, images[:1]).read_tokens()))


def kept_tokens(use: PatchUse, score: Score, share: float) -> Bool[Tensor, "batch tokens"]:
    """All extra tokens, and the patches that stay when this share goes."""
    return use.tokens.among_tokens(kept_patches(score(use), share), 1, extra=True)


def kept_patches(score: PatchScore, share: float) -> Bool[Tensor, "batch patches"]:
    """The patches that stay when those of lowest score go; of equal scores the first ones go.

    >>> kept_patches(torch.tensor([[3.0, 1.0, 2.0, 1.0]]), 0.25)
    tensor([[ True, False,  True,  True]])
    """
    stay = levels(score).argsort(dim=1, stable=True)[:, round(share * score.shape[1]) :]
    return torch.zeros_like(score, dtype=torch.bool).scatter(1, stay, value=True)
