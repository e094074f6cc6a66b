from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode

from tests.models.winft.test_winft import base, images, winft
from vitreous.interact.guide import image_fields
from vitreous.interact.windows import fixed_windows, random_windows
from vitreous.models.winft.sparse import SparseAttention, tiled_attention
from vitreous.trace.record import TokenGrid

GRID = TokenGrid(1, 4, 4)


class KeysSeen(TorchFunctionMode):
    """How many keys each attention had."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[int] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.nn.functional.scaled_dot_product_attention:
            self.keys.append(args[1].shape[-2])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("tile", [1, 5, 17, 99])
def test_tiles_are_attention_by_the_equation(tile: int) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 2, 3, 17, 8, generator=generator, dtype=torch.float64)
    mask = torch.rand(17, 17, generator=generator) < 0.2
    mask |= torch.eye(17, dtype=torch.bool)
    scores = (query @ key.mT / 8**0.5).exp() * mask
    expected = scores / scores.sum(-1, keepdim=True) @ value
    torch.testing.assert_close(tiled_attention(query, key, value, mask[None, None], tile), expected)


@pytest.mark.parametrize("options", [{}, {"reg_tokens": 2}, {"class_token": False, "global_pool": "avg"}])
def test_static_fields_by_tiles_are_static_fields(options: dict[str, Any]) -> None:
    model = winft(base(**options), **options)
    windows = fixed_windows(GRID, 1).expand(2, 16, 16)
    model.set_fields(torch.cat([windows, random_windows(torch.full((1, 16), 0.2), GRID, 0)]))
    with torch.no_grad():
        expected = model(images())
        with KeysSeen() as seen, SparseAttention(tile=4):
            torch.testing.assert_close(model(images()), expected, rtol=1e-5, atol=1e-5)
        assert min(seen.keys) < 16
        assert torch.equal(model(images()), expected)


def test_what_has_a_mask_per_image_is_left_alone() -> None:
    model, x = winft(base(), rf_mode="per_image"), images()
    fields = image_fields(base(), x, 0.3)
    with torch.no_grad():
        expected = model(x, fields)
        with SparseAttention(tile=4):
            assert torch.equal(model(x, fields), expected)
