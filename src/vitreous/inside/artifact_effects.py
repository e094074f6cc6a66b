"""What artifacts do to a model's attention and to its class score: `artifact_effects(model, pictures)`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vitreous.data.depth import Window
from vitreous.explaining.explain import Preparation, inputs_of
from vitreous.explaining.targets import UserTarget, as_target
from vitreous.inside.artifacts import Artifacts, artifacts
from vitreous.models.zoo import LoadedModel, describe
from vitreous.settings.arguments import checked
from vitreous.settings.typed import Count, Passes, Seed
from vitreous.shapes import Heatmap, Images, Logits
from vitreous.trace.classifier import check_classifier
from vitreous.trace.observe import observe
from vitreous.trace.observed import TokenGrid
from vitreous.trace.reading import Said, reading
from vitreous.trace.recorder import record
from vitreous.trace.restrict import call_of
from vitreous.trace.seen import AttentionSeen

if TYPE_CHECKING:
    from vitreous.explaining.explain import Picture

__all__ = ["ArtifactEffects", "artifact_effects", "since"]

Hidden = Bool[Tensor, "images blocks patches"]
"""The patches that no other token sees in the attention after each block."""


@dataclass(frozen=True, repr=False)
class ArtifactEffects:
    """The last attention and the class score, as they are and where no other token sees the patches that stand out.

    Attributes:
        found: the artifacts.
        hidden: the patches that stand out before the last attention.
        maps: the last attention to each patch, of the tokens that the classifier reads, heads averaged.
        maps_without: the same, the artifacts hidden.
        scores: of the class, as the model is.
        moved: score with the artifacts hidden less the score as it is; 0 where there are none.
        moved_by_chance: likewise of as many random other patches, hidden from the same blocks on.
    """

    found: Artifacts
    hidden: Bool[Tensor, "images h w"]
    maps: Float[Tensor, "images h w"]
    maps_without: Float[Tensor, "images h w"]
    scores: Float[Tensor, " images"]
    moved: Float[Tensor, " images"]
    moved_by_chance: Float[Tensor, "draws images"]

    @property
    def mass(self) -> Float[Tensor, " images"]:
        """Of the attention to patches, how much goes to those that stand out."""
        return (self.maps * self.hidden).sum((1, 2)) / self.maps.sum((1, 2))

    @property
    def likeness(self) -> Float[Tensor, " images"]:
        """The correlation of the two maps over the patches that do not stand out; 1 where nothing is hidden."""
        pairs = zip(self.maps.double(), self.maps_without.double(), ~self.hidden, strict=True)
        each = [torch.corrcoef(torch.stack([one[kept], other[kept]]))[0, 1] for one, other, kept in pairs]
        return torch.stack(each)

    @property
    def chance(self) -> float:
        """How often hiding random patches moves the scores at least as far, by the mean distance over all images.

        Counted with the artifacts themselves, so with n draws at least 1/(n + 1); 1 where there are none.
        """
        as_far = self.moved_by_chance.double().abs().mean(1) >= self.moved.double().abs().mean()
        return (1 + as_far.sum().item()) / (1 + len(as_far))


@checked("model", "images", "target", "preprocess")
def artifact_effects(
    model: nn.Module | LoadedModel,
    images: Tensor | Picture | Sequence[Picture],
    target: UserTarget = None,
    *,
    times: float = 3.0,
    draws: Passes = 20,
    seed: Seed = 0,
    batch_size: Count = 8,
    preprocess: Preparation | None = None,
    pixel_window: Window = None,
    **how: Unpack[Said],
) -> ArtifactEffects:
    """Hide the patches that stand out from all other tokens, and see what becomes of attention and of the class score.

    From the first block after which a patch stands out, attention runs as if it were no key to others: softmax over
    what is left; the patch itself goes on. As many random other patches, from the same blocks on, are the control.

    Args:
        model: your own module, or what `vitreous.load` gave, a classifier. It comes back as it was.
        images: as in `explain`: a tensor, taken as the model's normalized input, or pictures.
        target: the class, or whatever `explain` takes; None for each image's predicted one.
        times: as in `artifacts`.
        draws: how many times random patches are hidden: with fewer than 19, `chance` cannot be 0.05.
        seed: of the draws.
        batch_size: how many images run at once; bounds memory.
        preprocess: as in `explain`: how pictures become the model's input, where it does not say.
        pixel_window: as in `explain`: of gray pictures of more than 8 bits.
        how: the model is read, as in `similarity`.

    Raises:
        ObservationError: the model writes its attention out itself.
        NoClassScores: the model has no classifier.
        ExplainError: as `artifacts`.

    Cost: as `artifacts`, and 2 + draws forward passes of each image.

    >>> import torch, vitreous
    >>> vitreous.artifact_effects(vitreous.load(), torch.randn(2, 3, 128, 128), draws=1).maps.shape
    torch.Size([2, 8, 8])
    """
    subject = describe(model).read_as(**how)
    inputs, _ = inputs_of(subject, images, preprocess, pixel_window)
    found = artifacts(subject, inputs, times=times, batch_size=batch_size)
    first = since(found.outliers.flatten(2))
    wanted, generator = as_target(target, subject.class_names), torch.Generator().manual_seed(seed)
    tried = [torch.zeros_like(first), first, *(_elsewhere(first, generator) for _ in range(draws))]
    scores, maps = list[Tensor](), list[Tensor]()
    with reading(subject.reading):
        check_classifier(subject.model, inputs)
        trace = observe(subject.model, inputs[:1])
        tokens, read = trace.tokens, trace.read_tokens()
        direction: Logits | None = None
        for hidden in tried:
            parts = zip(inputs.split(batch_size), hidden.split(batch_size), strict=True)
            passes = [_without(subject.model, some, where, tokens, read) for some, where in parts]
            logits = torch.cat([each[0] for each in passes])
            direction = wanted(logits) if direction is None else direction
            scores.append((logits * direction).sum(1))
            maps.append(torch.cat([each[1] for each in passes]))
    moved = torch.stack(scores) - scores[0]
    return ArtifactEffects(
        found,
        first[:, -2].unflatten(1, (tokens.height, tokens.width)),
        maps[0],
        maps[1],
        scores[0],
        moved[1],
        moved[2:],
    )


def since(outliers: Hidden) -> Hidden:
    """Which patches stand out after a block or one before it."""
    return outliers.cummax(1).values


def _elsewhere(hidden: Hidden, generator: torch.Generator) -> Hidden:
    """As many other patches, from the same blocks on; images without artifacts hide none."""
    drawn = torch.zeros_like(hidden)
    for image, each in enumerate(hidden):
        odd, rest = (found.nonzero()[:, 0] for found in (each[-1], ~each[-1]))
        chosen = rest[torch.randperm(len(rest), generator=generator)[: len(odd)].to(rest.device)]
        drawn[image, :, chosen] = each[:, odd[: len(chosen)]]
    return drawn


def _without(
    model: nn.Module, images: Images, hidden: Hidden, tokens: TokenGrid, read: Bool[Tensor, " tokens"]
) -> tuple[Logits, Heatmap]:
    """The class scores and the last attention of a run in which nobody else sees the hidden patches."""
    own = torch.eye(tokens.tokens, dtype=torch.bool, device=images.device)
    keys: Iterator[Tensor] = iter([torch.zeros_like(hidden[:, 0]), *hidden.unbind(1)])
    last: list[Tensor] = []

    def attend(seen: AttentionSeen) -> Tensor | None:
        call = call_of(seen)
        if seen.sizes[-1] is None:
            return None
        kept = tokens.among_tokens(~next(keys), 1, extra=True)[:, None] | own
        _, weights = call.among(kept).scores_and_weights()
        last[:] = [weights.detach().mean(1)]
        return call.mix(weights)

    seen = record(model, images, attention=attend)
    seen.check_tokens(tokens)
    return seen.logits.detach(), tokens.heatmap(last[0][:, read].mean(1))
