"""A forward pass whose queries see only some keys, on the unmodified model: `restricted_logits`."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from vitreous.errors import ObservationError, ShapeError
from vitreous.shapes import Images, Logits
from vitreous.trace.attend import AttentionCall, WrittenAttention
from vitreous.trace.observed import TokenGrid
from vitreous.trace.recorder import record, tokens_of
from vitreous.trace.seen import AttentionSeen

__all__ = ["KeptKeys", "call_of", "restricted_logits"]

KeptKeys = Bool[Tensor, "#images queries keys"]
"""True where a query sees a key; one for all images, or one each. Between patches, or between all tokens."""


def restricted_logits(model: nn.Module, images: Images, kept: Mapping[int, KeptKeys]) -> Logits:
    """The class scores when attention runs between the kept pairs alone: softmax(scores + log kept), in all heads.

    Every token keeps itself. Extra tokens (class token, registers) see all and are seen by all, unless the masks are
    given between all tokens, in the order of the model. Masks that keep everything change no bit of what torch's fused
    function gives.

    Args:
        model: any `nn.Module` whose attention runs through torch's fused function; comes back as it was.
        images: its input.
        kept: by the position of the attention between all tokens, from 0; others stay as they are.

    Raises:
        ShapeError: masks that fit neither the patches nor the tokens, nor the images; a position that does not exist.
        ObservationError: the model writes its attention out.
        NothingObserved, NoTokenGrid, NoGlobalAttention, ModelError: as `observe` and `Trace`.
    """
    kind = type(model).__name__
    turn, tokens = count(), tokens_of(model, images)

    def attend(seen: AttentionSeen) -> Tensor | None:
        call, keys = call_of(seen), seen.sizes[-1]
        if keys is None or (mask := kept.get(next(turn))) is None:
            return None
        full = _between_tokens(mask.to(call.query.device), tokens, keys, len(images))
        return None if full.all() else call.among(full).fused()

    seen = record(model, images, attention=attend)
    seen.check_tokens(tokens)
    attentions = next(turn)
    if wrong := [at for at in kept if not 0 <= at < attentions]:
        raise ShapeError(
            f"`kept` names attention {wrong[0]}, but `{kind}` has {attentions} between all tokens. Count from 0."
        )
    return seen.logits


def call_of(seen: AttentionSeen) -> AttentionCall:
    """The call of torch's own attention, in which keys can be hidden.

    Raises:
        ObservationError: the model writes its attention out.
    """
    if isinstance(seen.attention, WrittenAttention):
        raise ObservationError(
            f"`{seen.model}` writes its attention out, so no key can be hidden from it. Switch it to torch's fused "
            'attention: fused_attn = True in the blocks of timm, attn_implementation="sdpa" in transformers.'
        )
    return seen.attention


def _between_tokens(kept: KeptKeys, tokens: TokenGrid, attending: int, images: int) -> Bool[Tensor, "#images t t"]:
    """The mask with the extra tokens and every token itself."""
    patches = tokens.patches
    if attending != tokens.tokens or kept.shape[-1] not in (patches, tokens.tokens) or len(kept) not in (1, images):
        raise ShapeError(
            f"`kept` is {tuple(kept.shape)}, but attention runs between {attending} tokens, {patches} of them patches "
            f"at the start, of {images} images. Give (1 or images, patches, patches), or all tokens."
        )
    if kept.shape[-1] == patches:
        kept = tokens.among_tokens(tokens.among_tokens(kept, 1, extra=True), 2, extra=True)
    return kept | torch.eye(tokens.tokens, dtype=torch.bool, device=kept.device)
