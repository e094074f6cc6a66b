"""What lies inside a model, of one picture, for its page: everything by the same few passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.errors import DegenerateMap, ExplainError, ObservationError, ShapeError
from vitreous.inside.artifact_effects import since
from vitreous.inside.artifacts import Artifacts
from vitreous.inside.components import fitted
from vitreous.inside.heads import of_heads
from vitreous.interact.alike import cosine
from vitreous.methods.cases import said as told
from vitreous.models.loaded import LoadedModel
from vitreous.render.case import ToldClass
from vitreous.render.inside import Colors, Heads, Inside, Norms, PatchesAlike
from vitreous.shapes import FeatureMaps, Images
from vitreous.trace.answer import best_answers
from vitreous.trace.blocks import check_rows, find_blocks
from vitreous.trace.classifier import check_classifier, without_scores
from vitreous.trace.ends import check_end, scores_of_end, scores_of_rows
from vitreous.trace.features import Features, PatchFeatures, taken
from vitreous.trace.observed import TokenGrid, check_same_tokens
from vitreous.trace.reading import reading
from vitreous.trace.recorder import record, tokens_of
from vitreous.trace.seen import AttentionSeen

__all__ = ["inside_of"]

T = TypeVar("T")
_TIMES = 3.0
"""As `artifacts` has it."""
_SAID = 3
"""Classes that are told after every block."""
_PAIRS, _PAIRS_ALONE = 600_000, 1_050_000
"""Of patches, over all layers; and in one layer, where one is all there is room for."""
_TAKEN: tuple[Features, ...] = ("keys", "queries", "values")


@dataclass(frozen=True)
class _Seen:
    """What one pass shows.

    Attributes:
        blocks: dotted names, in order.
        tokens: that come out of each, (1, tokens, width).
        grid: how they lie on the picture.
        heads: distance, entropy and share of extra tokens, of each attention's heads.
        taken: what the last attention takes of each patch, (1, channels, h, w), by kind; only what is seen of it.
        unchangeable: why the tokens of blocks cannot be changed; empty where they can.
    """

    blocks: tuple[str, ...]
    tokens: Sequence[Tensor]
    grid: TokenGrid
    heads: Sequence[tuple[Tensor, Tensor, Tensor]]
    taken: dict[Features, Tensor] = field(default_factory=dict[Features, Tensor])
    unchangeable: str = ""

    def maps(self, block: int) -> Tensor:
        """The tokens of patches after a block, (1, channels, h, w)."""
        return self.grid.of_patches(self.tokens[block], 1).mT.unflatten(2, (self.grid.height, self.grid.width))


def inside_of(subject: LoadedModel, image: Images, *, models: int = 1) -> Inside:
    """Everything that can be seen of one picture, block by block; a sentence stands for what cannot.

    Args:
        subject: the model, and how it is read.
        image: one, as the model takes it.
        models: so many share the page, and what room it has for how alike patches are.

    Cost: two forward passes, with what it takes to measure how the tokens lie, and of a classifier four more for the
        logit lens; a singular value decomposition of the patches' tokens for each block. Holds the tokens of all
        blocks, and the attention of one at a time.
    """
    model = subject.model
    with reading(subject.reading):
        try:
            seen = without_scores(lambda: _look(model, image), model, image)
        except ExplainError as error:
            return Inside.unseen(error.alone)
        said = _tried(lambda: _said(subject, image, seen))
    places = range(len(seen.blocks))
    lengths = torch.stack([seen.maps(at).float().norm(dim=1) for at in places], 1)
    return Inside(
        (seen.grid.height, seen.grid.width),
        seen.blocks,
        _alike(seen, models),
        [_tried(partial(_colors, seen, at)) for at in places],
        _norms(Artifacts(lengths, seen.blocks, _TIMES)),
        said,
        Heads(*([each[at][0].tolist() for each in seen.heads] for at in range(3))),
    )


def _look(model: nn.Module, image: Images) -> _Seen:
    unchangeable = ""
    try:
        blocks = find_blocks(model, image, changing=True)
    except ObservationError as error:
        blocks, unchangeable = find_blocks(model, image), error.alone
    grid, heads, kept = tokens_of(model, image), list[tuple[Tensor, Tensor, Tensor]](), dict[Features, Tensor]()

    def attend(seen: AttentionSeen) -> Tensor | None:
        _, weights = seen.attention.scores_and_weights()
        check_same_tokens(grid, seen.sizes, seen.model)
        if seen.sizes[-1] is not None:
            heads.append(of_heads(weights, grid))
            kept.clear()
            for kind in _TAKEN:
                if (maps := taken(seen, kind, grid)) is not None:
                    kept[kind] = maps
        return seen.attention.mix(weights)

    seen = record(model, image, attention=attend, outputs=blocks)
    seen.check_tokens(grid)
    tokens = [seen.outputs[name] for name in blocks]
    for name, each in zip(blocks, tokens, strict=True):
        check_rows(each, seen.model, name, 1, grid)
        if not each.isfinite().all():
            raise ObservationError(
                f"`{name}` of `{seen.model}` gave NaN or infinite tokens for this picture. Check that its weights are "
                "finite, and run it in float32 or float64."
            )
    return _Seen(blocks, tokens, grid, heads, kept, unchangeable)


def _tried(look: Callable[[], T]) -> T | str:
    """What is seen, or why it cannot be."""
    try:
        return look()
    except DegenerateMap as error:
        return f"{error.fact.rstrip(',')}."
    except ExplainError as error:
        return error.alone


def _alike(seen: _Seen, models: int) -> list[PatchesAlike] | str:
    """After as many blocks as there is room for, the last always, and by what the last attention takes."""
    count, last = seen.grid.patches, len(seen.blocks) - 1
    pairs = count * (count + 1) // 2
    if pairs > _PAIRS_ALONE // models:
        page = f"page of {models} models" if models > 1 else "page"
        return (
            f"{count:,} patches are too many for a {page} to hold how alike each two are. "
            "`vitreous inside --patch` draws it for one patch."
        )
    room = max(1, _PAIRS // models // pairs)
    kinds = seen.taken if room >= 2 * len(seen.taken) else {}
    left = min(last + 1, room - len(kinds))
    blocks = sorted({last - round(at * last / max(1, left - 1)) for at in range(left)})
    tokens = [PatchesAlike("tokens", at, _cosines(seen.maps(at))) for at in blocks]
    return [*tokens, *(PatchesAlike(kind, last, _cosines(maps)) for kind, maps in kinds.items())]


def _cosines(maps: FeatureMaps) -> Float[np.ndarray, "patches patches"]:
    return cosine(maps[0], maps[0]).float().cpu().numpy()


def _colors(seen: _Seen, block: int) -> Colors:
    found = fitted(PatchFeatures(seen.blocks[block], seen.maps(block)), "tokens")
    return Colors(found.colors[0].float().numpy(), tuple(found.share.tolist()))


def _norms(found: Artifacts) -> Norms:
    outliers = found.outliers
    met = since(outliers.flatten(2))[0, -2].unflatten(0, outliers.shape[2:])
    return Norms(found.norms[0].cpu().numpy(), outliers[0].cpu().numpy(), found.times, met.cpu().numpy())


def _said(subject: LoadedModel, image: Images, seen: _Seen) -> list[list[ToldClass]]:
    """What the model's own end says of the tokens after every block, as `logit_lens` asks it."""
    model, last = subject.model, seen.tokens[-1]
    check_classifier(model, image)
    if seen.unchangeable:
        raise ObservationError(seen.unchangeable)
    if odd := [name for name, each in zip(seen.blocks, seen.tokens, strict=True) if each.shape != last.shape]:
        raise ShapeError(
            f"`{odd[0]}` gives tokens of another width than the last block, so the model's end does not take them."
        )
    check_end(model, image, seen.blocks[-1], last)
    try:
        earlier = scores_of_rows(model, image, seen.blocks[-1], last, torch.cat([*seen.tokens[:-1]]))
        scores = torch.cat([earlier, scores_of_end(model, image, seen.blocks[-1], last)])
    except ObservationError:  # it takes one picture's tokens at a time
        scores = torch.cat([scores_of_end(model, image, seen.blocks[-1], each) for each in seen.tokens])
    names, link = subject.class_names, subject.reading.link
    return [[told(each) for each in best_answers(row.detach(), names, link, _SAID)] for row in scores]
