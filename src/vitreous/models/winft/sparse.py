"""Static fields by tiles of queries: `with SparseAttention(): model(images)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["SparseAttention", "tiled_attention"]

Heads = Float[Tensor, "batch heads tokens width"]


class SparseAttention(TorchFunctionMode):
    """Inside the block, attention with one boolean mask for the whole batch skips what no query of a tile may see.

    The numbers stay, to rounding. Worth its while on a CPU for windows of at most 7×7 in 28×28 patches; where neighbors
    have unlike fields, torch's masked attention is faster: see `benchmarks/winft_cost.py`. Such attention cannot be
    observed, so explain outside the block.

    Args:
        tile: queries, in token order, that share their keys.
    """

    def __init__(self, tile: int = 32) -> None:
        super().__init__()
        self.tile = tile

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Tile attention with a mask of (1, 1, queries, keys); leave all else as it is."""
        options = dict(kwargs or {})
        if func is F.scaled_dot_product_attention and _is_shared(options.get("attn_mask")):
            return tiled_attention(*args, mask=options.pop("attn_mask"), tile=self.tile, **options)
        return func(*args, **options)


def _is_shared(mask: Tensor | None) -> bool:
    return mask is not None and mask.dtype == torch.bool and mask.shape[:-2] == (1, 1)


def tiled_attention(
    query: Heads, key: Heads, value: Heads, mask: Bool[Tensor, "1 1 tokens tokens"], tile: int = 32, **options: Any
) -> Heads:
    """Attention, each tile of queries with the keys that any of them sees; options of torch's."""
    tiles: list[Tensor] = []
    for queries, seen in zip(query.split(tile, -2), mask.split(tile, -2), strict=True):
        keys = seen[0, 0].any(0).nonzero()[:, 0]
        tiles.append(
            F.scaled_dot_product_attention(
                queries, key[..., keys, :], value[..., keys, :], attn_mask=seen[..., keys], **options
            )
        )
    return torch.cat(tiles, -2)
