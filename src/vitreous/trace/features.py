"""What a model has computed of each patch: `patch_features(model, images)`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor, nn

from vitreous.errors import NotFinite, ObservationError, UnknownName
from vitreous.shapes import FeatureMaps, Images
from vitreous.trace.attend import AttentionCall
from vitreous.trace.classifier import without_scores
from vitreous.trace.layer import find_layer
from vitreous.trace.layer_output import read_layer
from vitreous.trace.observed import TokenGrid
from vitreous.trace.recorder import record, tokens_of
from vitreous.trace.seen import AttentionSeen

__all__ = ["Features", "PatchFeatures", "patch_features", "taken"]

Features = Literal["tokens", "keys", "queries", "values"]
"""What a layer gives, or what an attention takes, of each patch."""


@dataclass(frozen=True)
class PatchFeatures:
    """Features of the patches of some pictures.

    Attributes:
        layer: dotted name of the module that was read.
        maps: one per channel; of keys, queries and values the heads side by side.
        extra: what the extra tokens hold, in their order; None where no row of tokens was read, or of keys, queries
            and values.
    """

    layer: str
    maps: FeatureMaps
    extra: Float[Tensor, "batch extra channels"] | None = None


def patch_features(model: nn.Module, images: Images, layer: str = "", of: Features = "tokens") -> PatchFeatures:
    """The features of every patch, also of a model without a classifier.

    Args:
        model: comes back as it was.
        images: its input.
        layer: dotted name: of tokens, any module whose output lies on the picture, by default the one that `find_layer`
            finds; of keys, queries and values, a module that runs attention between all tokens, by default the last.
        of: keys and queries are taken as they meet, after any norm and rotary position.

    Raises:
        UnknownName: no such features or layer.
        ObservationError: a model writes its attention out itself, so that keys, queries or values are not seen.
        NotFinite: a feature is NaN or infinite.
        NothingObserved, NoTokenGrid, NoGlobalAttention, ModelError, ShapeError: as `find_layer` and `observe`.

    Cost: two forward passes and a backward one; of keys, queries and values one forward pass; and what it takes to
        measure how the tokens lie.
    """
    if of not in get_args(Features):
        raise UnknownName("features", of, get_args(Features))

    def look() -> PatchFeatures:
        if of != "tokens":
            return _attended(model, images, layer, of)
        found = find_layer(model, images, layer)
        read = read_layer(model, images, found)
        extra = found.grid.of_extra(read.output.detach(), 1) if read.output.ndim == 3 else None
        return PatchFeatures(found.name, read.maps, extra)

    found = without_scores(look, model, images)
    bad = ~found.maps.isfinite().flatten(1).all(1)
    if bad.any():
        raise NotFinite(
            f"`{found.layer}` of `{type(model).__name__}` has NaN or infinite {of} for {int(bad.sum())} of {len(bad)} "
            "images. Check that its weights are finite, and run it in float32 or float64."
        )
    return found


def _attended(model: nn.Module, images: Images, layer: str, of: Features) -> PatchFeatures:
    """What the named attention, or the last between all tokens, takes of each patch."""
    tokens, kept, names = tokens_of(model, images), list[Tensor | None](), list[str]()

    def keep(seen: AttentionSeen) -> None:
        if seen.sizes[-1] is not None:
            names.append(seen.name)
            if layer in ("", seen.name):
                kept[:] = [taken(seen, of, tokens)]

    seen = record(model, images, attention=keep)
    seen.check_tokens(tokens)
    if not kept:
        raise UnknownName("attention", layer, names)
    name = layer or names[-1]
    if kept[0] is None:
        raise ObservationError(
            f"`{name}` of `{seen.model}` writes its attention out itself, so that its {of} are not seen. Take its "
            'tokens, of="tokens"; in transformers, attn_implementation="sdpa" lets all be seen.'
        )
    return PatchFeatures(name, kept[0])


def taken(seen: AttentionSeen, of: Features, tokens: TokenGrid) -> FeatureMaps | None:
    """What an attention takes of each patch; None where it is not between all tokens, or written out by the model."""
    call = seen.attention
    if seen.sizes[-1] != tokens.tokens:  # refused when all has run
        return None
    if isinstance(call, AttentionCall):
        found = {"keys": call.key, "queries": call.query, "values": call.value}[of]
    else:
        found = call.value if of == "values" else None
    if found is None:
        return None
    rows = tokens.of_patches(found, 2).movedim(2, 1).flatten(2)  # heads side by side
    return rows.mT.unflatten(2, (tokens.height, tokens.width)).clone()
