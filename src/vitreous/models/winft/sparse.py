"""Static fields without the work that they spare: `with SparseAttention(): model(images)`."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, TypeGuard, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

from vitreous.errors import check_setting

__all__ = ["Kernel", "SparseAttention", "tiled_attention"]

Heads = Float[Tensor, "batch heads tokens width"]
SharedMask = Bool[Tensor, "1 1 tokens tokens"]
Kernel = Literal["auto", "tiles", "flex"]


class SparseAttention(TorchFunctionMode):
    """Inside the block, attention with one boolean mask for the whole batch skips what no query of a tile may see.

    The numbers stay, to rounding. Such attention cannot be observed, so explain outside the block. Keep the object for
    many blocks: it remembers flex's block masks of the last 64 masks.

    Args:
        kernel: "tiles" for torch's own attention, tile by tile; "flex" for torch's FlexAttention, which skips blocks of
            128 × 128 and is compiled when first used; "auto" for "flex" on CUDA, else "tiles". Flex has no dropout, and
            no gradients on a CPU: there torch's masked attention runs.
        tile: queries, in token order, that share their keys in "tiles".

    Raises:
        UnknownName: no such kernel.

    Measured by `benchmarks/winft_cost.py` on a CPU, not on CUDA. There tiles can be worth their while for windows of at
    most 7×7 in 28×28 patches; where neighbors have unlike fields, torch's masked attention is faster. Flex, too, gained
    nothing over that in a whole model.
    """

    def __init__(self, kernel: Kernel = "auto", tile: int = 32) -> None:
        super().__init__()
        check_setting("kernel", kernel, get_args(Kernel))
        self.kernel, self.tile = kernel, tile
        self._known: deque[tuple[Tensor, Any]] = deque(maxlen=64)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Attention with a mask of (1, 1, queries, keys) by the kernel; all else as it is."""
        options = dict(kwargs or {})
        if func is not F.scaled_dot_product_attention or not _is_shared(mask := options.get("attn_mask")):
            return func(*args, **options)
        if self.kernel == "tiles" or (self.kernel == "auto" and not mask.is_cuda):
            del options["attn_mask"]
            return tiled_attention(*args, mask=mask, tile=self.tile, **options)
        learning = torch.is_grad_enabled() and any(each.requires_grad for each in args)
        if options.get("dropout_p") or (learning and not mask.is_cuda):
            return func(*args, **options)
        same = {name: options[name] for name in ("scale", "enable_gqa") if name in options}
        return _flex()(*args, block_mask=self._block_mask(mask), **same)

    def _block_mask(self, mask: SharedMask) -> Any:
        """Made once per mask; a model's masks come in the same order in every forward pass."""
        for _ in range(len(self._known)):
            self._known.rotate(-1)
            known, made = self._known[-1]
            if known.device == mask.device and torch.equal(known, mask):
                return made
        from torch.nn.attention.flex_attention import create_block_mask

        own = mask[0, 0].clone()  # the caller's may change
        made = create_block_mask(lambda _b, _h, query, key: own[query, key], None, None, *own.shape, device=own.device)
        self._known.append((own[None, None], made))
        return made


@cache
def _flex() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention)


def _is_shared(mask: Tensor | None) -> TypeGuard[Tensor]:
    return mask is not None and mask.dtype == torch.bool and mask.shape[:-2] == (1, 1)


def tiled_attention(query: Heads, key: Heads, value: Heads, mask: SharedMask, tile: int = 32, **options: Any) -> Heads:
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
