"""timm's transformer block with attention inside fields, and fields on other grids."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from timm.models.vision_transformer import Block
from torch import Tensor, nn

__all__ = ["FieldBlock", "FieldMode", "Grid", "resize_bias", "resize_fields", "top_fields"]

FieldMode = Literal["static", "per_image", "predicted"]
"""Fields of the model's own, one per block; given with every batch; or foretold from the tokens by a light head."""
Grid = tuple[int, int]
_GATE_WIDTH = 16


class FieldBlock(Block):
    """timm's transformer block, its attention limited to fields: softmax(QKᵀ/√d + log field)·V.

    Extra tokens see all and are seen by all. A field that holds everything leaves timm's block as it is, bit for bit.

    Args:
        dim: width of the tokens.
        num_heads: of the attention.
        grid: (height, width) of the patches.
        prefix: extra tokens before them.
        mode: where fields come from. A predicted field has g_ij = σ(u_i·v_j + b(p_i - p_j)), u and v linear maps of the
            normed tokens, b learned: in training weights are multiplied by g, afterwards the highest g are the field.
        density: share of the patches in a predicted field.
        keep_local: patches so many rows and columns away, at most, always belong to the field; 0 for the patch alone.
        options: of timm's block.
    """

    field: Tensor
    near: Tensor

    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        grid: Grid,
        prefix: int,
        mode: FieldMode,
        density: float,
        keep_local: int,
        **options: Any,
    ) -> None:
        super().__init__(dim, num_heads, **options)
        self.prefix, self.mode, self.density, self.keep_local = prefix, mode, density, keep_local
        patches = grid[0] * grid[1]
        self.register_buffer("field", torch.ones(patches, patches, dtype=torch.bool))
        self.register_buffer("near", torch.empty(0), persistent=False)
        if mode == "predicted":
            self.query_gate = nn.Linear(dim, _GATE_WIDTH)
            self.key_gate = nn.Linear(dim, _GATE_WIDTH)
            self.offset_bias = nn.Parameter(torch.zeros(2 * grid[0] - 1, 2 * grid[1] - 1))
        self._lay(grid)

    def forward(self, x: Tensor, attn_mask: Tensor | None = None, **options: Any) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The block's tokens; `attn_mask` is a field per image, (batch, patches, patches), in place of its own."""
        return super().forward(x, attn_mask=self._mask(x, attn_mask), **options)

    def gates(self, x: Tensor) -> Float[Tensor, "batch patches patches"]:
        """u_i·v_j + b(p_i - p_j) between patches, before the sigmoid."""
        patches = self.norm1(x)[:, self.prefix :]
        offsets = _offsets(self.grid) + torch.tensor(self.grid) - 1
        bias = self.offset_bias[offsets[..., 0], offsets[..., 1]]
        return self.query_gate(patches) @ self.key_gate(patches).mT + bias

    def set_field(self, field: Bool[Tensor, "patches patches"]) -> None:
        """Take a field as the block's own."""
        self.field = field.to(self.field.device)

    def resize(self, grid: Grid) -> None:
        """Take another grid of patches; field and bias are resized."""
        self.field = resize_fields(self.field, self.grid, grid)
        if self.mode == "predicted":
            self.offset_bias = nn.Parameter(resize_bias(self.offset_bias.detach(), grid))
        self._lay(grid)

    def _lay(self, grid: Grid) -> None:
        self.grid = grid
        self.near = (_offsets(grid).abs().amax(-1) <= self.keep_local).to(self.field.device)

    def _mask(self, x: Tensor, given: Tensor | None) -> Tensor | None:
        """What timm's attention takes: None where nothing is hidden, so that not a bit changes."""
        if self.mode == "predicted":
            gates = self.gates(x)
            if self.training:
                return self._between_tokens(F.logsigmoid(gates).masked_fill(self.near, 0))
            field = top_fields(gates, self.near, self.density)
        else:
            field = self.field[None] if given is None else given
        field = field | self.near
        return None if field.all() else self._between_tokens(field)

    def _between_tokens(self, pairs: Tensor) -> Tensor:
        """(batch or 1, 1, tokens, tokens): seen, or a logarithm of 0, wherever an extra token takes part."""
        return F.pad(pairs, (self.prefix, 0, self.prefix, 0), value=pairs.dtype == torch.bool)[:, None]


def top_fields(
    scores: Float[Tensor, "*blocks patches patches"], first: Bool[Tensor, "patches patches"], density: float
) -> Bool[Tensor, "*blocks patches patches"]:
    """Of all keys this share, rounded, at least one: those that come first, then the highest scores.

    >>> top_fields(torch.tensor([[0.0, 5, 1, 2]]).expand(4, 4), torch.eye(4, dtype=torch.bool), 0.5)[0]
    tensor([ True,  True, False, False])
    """
    kept = max(1, round(density * scores.shape[-1]))
    best = scores.masked_fill(first, torch.inf).topk(kept, sorted=False).indices
    return torch.zeros_like(scores, dtype=torch.bool).scatter(-1, best, value=True)


def resize_fields(
    fields: Bool[Tensor, "*blocks old old"], before: Grid, after: Grid
) -> Bool[Tensor, "*blocks new new"]:
    """Fields on another grid: the nearest query of the old grid, and its key at the nearest offset (our own).

    Offsets that lead off the old grid stop at its border. Every patch stays in its own field.

    >>> resize_fields(torch.eye(4, dtype=torch.bool), (2, 2), (1, 2))
    tensor([[ True, False],
            [False,  True]])
    """
    if before == after:
        return fields
    scale, last = torch.tensor(before) / torch.tensor(after), torch.tensor(before) - 1
    places = ((_places(after) + 0.5) * scale).long()
    keys = places[:, None] + (_offsets(after) * scale).round().long()
    keys = keys.clamp(min=0).minimum(last)
    queries, keys = (each[..., 0] * before[1] + each[..., 1] for each in (places, keys))
    resized = fields[..., queries[:, None].to(fields.device), keys.to(fields.device)]
    return resized | torch.eye(len(places), dtype=torch.bool, device=fields.device)


def _places(grid: Grid) -> Int[Tensor, "patches 2"]:
    return torch.cartesian_prod(torch.arange(grid[0]), torch.arange(grid[1])).view(-1, 2)


def _offsets(grid: Grid) -> Int[Tensor, "queries keys 2"]:
    """Rows and columns from query to key."""
    places = _places(grid)
    return places - places[:, None]


def resize_bias(bias: Tensor, grid: Grid) -> Tensor:
    """A bias per offset on another grid, the farthest offsets on the farthest."""
    size = (2 * grid[0] - 1, 2 * grid[1] - 1)
    return F.interpolate(bias[None, None], size, mode="bilinear", align_corners=True)[0, 0]
