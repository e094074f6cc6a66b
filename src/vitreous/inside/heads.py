"""How far the heads of a model look, and how evenly: `heads(model, pictures)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.data.depth import Window
from vitreous.errors import ObservationError
from vitreous.explaining.explain import Preparation, inputs_of
from vitreous.models.zoo import LoadedModel, describe
from vitreous.settings.arguments import checked
from vitreous.settings.typed import Count
from vitreous.shapes import Images, Weights
from vitreous.trace.classifier import without_scores
from vitreous.trace.each_attention import each_attention
from vitreous.trace.observed import TokenGrid
from vitreous.trace.reading import Said, reading

if TYPE_CHECKING:
    from vitreous.explaining.explain import Picture

__all__ = ["Heads", "distances", "entropies", "heads", "of_heads"]


@dataclass(frozen=True, repr=False)
class Heads:
    """How the patches attend, on average, in every head of every attention between all tokens, in order.

    Attributes:
        distance: in patches, from a patch to those it attends to, weighted by how much; class token and registers,
            which lie nowhere, left out.
        entropy: of a patch's attention to all tokens, in nats: 0 where it is to one, ln(tokens) where it is even.
        to_extra: how much of a patch's attention goes to tokens that are no patches.
        grid: (height, width) in patches.
    """

    distance: Float[Tensor, "images attentions heads"]
    entropy: Float[Tensor, "images attentions heads"]
    to_extra: Float[Tensor, "images attentions heads"]
    grid: tuple[int, int]


def distances(weights: Weights, tokens: TokenGrid) -> Float[Tensor, "batch heads"]:
    """Mean over patches i of Σⱼ Aᵢⱼ·|pᵢ − pⱼ| / Σⱼ Aᵢⱼ over patches j, p in patches."""
    within = tokens.of_patches(tokens.of_patches(weights, -1), -2)
    sides = (torch.arange(size, dtype=torch.float64) for size in (tokens.height, tokens.width))
    places = torch.cartesian_prod(*sides)
    apart = torch.cdist(places, places).to(within)
    return ((within * apart).sum(-1) / within.sum(-1)).mean(-1)


def entropies(weights: Weights, tokens: TokenGrid) -> Float[Tensor, "batch heads"]:
    """Mean over patches of −Σⱼ Aᵢⱼ ln Aᵢⱼ over all tokens."""
    return torch.special.entr(tokens.of_patches(weights, -2)).sum(-1).mean(-1)


def of_heads(weights: Weights, tokens: TokenGrid) -> tuple[Tensor, Tensor, Tensor]:
    """Distance, entropy, and how much goes to extra tokens, (batch, heads) each."""
    to_patches = tokens.of_patches(tokens.of_patches(weights, -2)).sum(-1).mean(-1)
    return distances(weights, tokens), entropies(weights, tokens), 1 - to_patches


@checked("model", "images", "preprocess")
def heads(
    model: nn.Module | LoadedModel,
    images: Tensor | Picture | Sequence[Picture],
    *,
    batch_size: Count = 8,
    preprocess: Preparation | None = None,
    pixel_window: Window = None,
    **how: Unpack[Said],
) -> Heads:
    """Measure how far and how evenly each head of a model attends.

    The mean attention distance of Dosovitskiy et al. (arXiv 2010.11929, fig. 7), in patches, over attention to patches
    alone; and the entropy of attention.

    Args:
        model: your own module, or what `vitreous.load` gave; it needs no classifier. It comes back as it was.
        images: as in `explain`: a tensor, taken as the model's normalized input, or pictures.
        batch_size: how many images run at once; bounds memory.
        preprocess: as in `explain`: how pictures become the model's input, where it does not say.
        pixel_window: as in `explain`: of gray pictures of more than 8 bits.
        how: the model is read, as in `similarity`.

    Raises:
        ObservationError: a patch attends to no patch at all, or attentions have different numbers of heads.
        ExplainError: an input, or a model without attention between all patches; the message says what to do.

    Cost: one forward pass, and of every batch what it takes to measure how the tokens lie.

    >>> import torch, vitreous
    >>> vitreous.heads(vitreous.load(), torch.randn(2, 3, 128, 128)).distance.shape[0]
    2
    """
    subject = describe(model).read_as(**how)
    inputs, _ = inputs_of(subject, images, preprocess, pixel_window)
    with reading(subject.reading):
        parts = [_look(subject.model, part) for part in inputs.split(batch_size)]
    distance, entropy, extra = (
        torch.cat([getattr(part, name) for part in parts]) for name in ("distance", "entropy", "to_extra")
    )
    if not distance.isfinite().all():
        raise ObservationError(
            f"patches of `{type(subject.model).__name__}` attend to no patch in some head, so there is no distance. "
            "Look at its attention by `vitreous.observe`."
        )
    return Heads(distance, entropy, extra, parts[0].grid)


def _look(model: nn.Module, images: Images) -> Heads:
    def look() -> Heads:
        seen: list[tuple[Tensor, Tensor, Tensor]] = []

        def measure(tokens: TokenGrid, weights: Weights) -> None:
            seen.append(of_heads(weights, tokens))

        _, grid = each_attention(model, images, measure)
        if len(counts := {each[0].shape[1] for each in seen}) > 1:
            raise ObservationError(
                f"attentions of `{type(model).__name__}` have {', '.join(map(str, sorted(counts)))} heads, no one "
                "number. Look at them by `vitreous.observe`."
            )
        distance, entropy, extra = (torch.stack(each, 1) for each in zip(*seen, strict=True))
        return Heads(distance, entropy, extra, (grid.height, grid.width))

    return without_scores(look, model, images)
