"""Scaled dot-product attention, written out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool
from torch import Tensor

from vitreous.shapes import Scores

__all__ = ["AttentionCall", "WrittenAttention"]


@dataclass(frozen=True)
class AttentionCall:
    """One call of scaled dot-product attention, with torch's meaning of every argument.

    Attributes:
        query: (batch, heads, queries, width).
        key: (batch, heads, keys, width).
        value: (batch, heads, keys, width).
        attn_mask: what is added to the scores, or a boolean mask that is False where a key is hidden.
        dropout_p: probability of dropping a weight.
        is_causal: hide the keys after each query.
        scale: factor on the scores; 1/√width where it is None.
        enable_gqa: let several query heads share one key head.
    """

    query: Tensor
    key: Tensor
    value: Tensor
    attn_mask: Tensor | None = None
    dropout_p: float = 0.0
    is_causal: bool = False
    scale: float | None = None
    enable_gqa: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its scores: (batch, heads, queries, keys)."""
        return (*self.query.shape[:-1], self.key.shape[-2])

    def scores(self) -> Scores:
        """Q·Kᵀ·scale, plus the mask: what softmax sees."""
        scale = self.query.shape[-1] ** -0.5 if self.scale is None else self.scale
        scores = (self.query @ self._per_query_head(self.key).mT) * scale
        mask = torch.ones_like(scores, dtype=torch.bool).tril() if self.is_causal else self.attn_mask
        if mask is None:
            return scores
        return scores.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else scores + mask

    def fused(self) -> Tensor:
        """What torch's own kernel returns."""
        return F.scaled_dot_product_attention(
            self.query,
            self.key,
            self.value,
            self.attn_mask,
            self.dropout_p,
            self.is_causal,
            scale=self.scale,
            enable_gqa=self.enable_gqa,
        )

    def written(self) -> Tensor:
        """The same, operation by operation."""
        return self.mix(self.scores().softmax(-1))

    def scores_and_weights(self) -> tuple[Scores, Scores]:
        """What softmax sees, and what it gives."""
        scores = self.scores()
        return scores, scores.softmax(-1)

    def of(self, queries: Callable[[Tensor, int], Tensor]) -> AttentionCall:
        """The same call for some queries, given by what takes them out of an axis of all."""
        mask = torch.ones(self.shape, dtype=torch.bool, device=self.query.device).tril() if self.is_causal else None
        mask = self.attn_mask if mask is None else mask
        if mask is not None and mask.shape[-2] > 1:
            mask = queries(mask, -2)
        return replace(self, query=queries(self.query, -2), attn_mask=mask, is_causal=False)

    def among(self, kept: Bool[Tensor, "#batch queries keys"]) -> AttentionCall:
        """The same call, in which queries see the kept keys only, as far as they saw them before."""
        kept, mask = kept[:, None], self.attn_mask
        if self.is_causal:
            mask = torch.ones_like(kept).tril()
        if mask is not None:
            kept = mask & kept if mask.dtype == torch.bool else mask.masked_fill(~kept, -torch.inf)
        return replace(self, attn_mask=kept, is_causal=False)

    def mix(self, weights: Scores) -> Tensor:
        """Weights times values: what attention returns."""
        if self.dropout_p:
            weights = torch.dropout(weights, self.dropout_p, True)
        return weights @ self._per_query_head(self.value)

    def apart(self) -> Tensor:
        """Each query's own value: what attention between the same tokens returns if none looks at another."""
        return self._per_query_head(self.value)

    def _per_query_head(self, tensor: Tensor) -> Tensor:
        if not self.enable_gqa:
            return tensor
        return tensor.repeat_interleave(self.query.shape[-3] // tensor.shape[-3], -3)


@dataclass(frozen=True)
class WrittenAttention:
    """Attention that a model writes out itself, about to multiply its values.

    Attributes:
        scores: what its softmax took.
        weights: what multiplies the values.
        value: these, (batch, heads, keys, width); None where they are laid out otherwise.
    """

    scores: Scores
    weights: Scores
    value: Tensor | None = None

    def scores_and_weights(self) -> tuple[Scores, Scores]:
        """Both, as the model has them."""
        return self.scores, self.weights

    def mix(self, weights: Scores) -> None:
        """Nothing: the model multiplies its own weights."""
