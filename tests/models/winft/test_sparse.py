from __future__ import annotations

from typing import Any

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor
from torch.nn.attention import flex_attention
from torch.nn.functional import scaled_dot_product_attention as attend
from torch.overrides import TorchFunctionMode

from tests.models.winft.test_winft import base, images, winft
from vitreous.errors import UnknownName
from vitreous.interact.attention_windows import fixed_windows, random_windows
from vitreous.interact.field_guide import image_fields
from vitreous.models.winft.sparse import Kernel, SparseAttention, tiled_attention
from vitreous.trace.observed import TokenGrid

GRID = TokenGrid(1, 4, 4)
UNCOMPILED = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
"""The same operation, run as it is written: compiling it takes a minute."""


class KeysSeen(TorchFunctionMode):
    """How many keys each attention had."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: list[int] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.nn.functional.scaled_dot_product_attention:
            self.keys.append(args[1].shape[-2])
        return func(*args, **(kwargs or {}))


def heads(tokens: int, share: float, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries, keys, values and a mask."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 2, 3, tokens, 8, generator=generator).to(dtype)
    mask = torch.rand(tokens, tokens, generator=generator) < share
    return query, key, value, (mask | torch.eye(tokens, dtype=torch.bool))[None, None]


def by_the_equation(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    scores = (query @ key.mT / query.shape[-1] ** 0.5).exp() * mask
    return scores / scores.sum(-1, keepdim=True) @ value


@pytest.mark.parametrize("tile", [1, 5, 17, 99])
def test_tiles_are_attention_by_the_equation(tile: int) -> None:
    query, key, value, mask = heads(17, 0.2)
    expected = by_the_equation(query, key, value, mask)
    torch.testing.assert_close(tiled_attention(query, key, value, mask, tile), expected)


@UNCOMPILED
@pytest.mark.parametrize("tokens", [1, 17, 128, 197, 257])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_flex_is_attention_by_the_equation(tokens: int, dtype: torch.dtype) -> None:
    query, key, value, mask = heads(tokens, 0.1, dtype)
    expected = by_the_equation(query, key, value, mask)
    tolerance = {} if dtype == torch.float64 else {"rtol": 3e-2, "atol": 3e-2}
    with torch.compiler.set_stance("force_eager"), SparseAttention("flex"):
        torch.testing.assert_close(attend(query, key, value, attn_mask=mask), expected, **tolerance)
        halved = attend(query / 2, key, value, attn_mask=mask, scale=2 / 8**0.5)
    torch.testing.assert_close(halved, expected, **tolerance)


@UNCOMPILED
@pytest.mark.parametrize("kernel", ["auto", "tiles", "flex"])
@pytest.mark.parametrize("options", [{}, {"reg_tokens": 2}, {"class_token": False, "global_pool": "avg"}])
def test_static_fields_are_the_same_by_every_kernel(options: dict[str, Any], kernel: Kernel) -> None:
    model = winft(base(**options), **options)
    windows = fixed_windows(GRID, 1).expand(2, 16, 16)
    model.set_fields(torch.cat([windows, random_windows(torch.full((1, 16), 0.2), GRID, 0)]))
    sparse = SparseAttention(kernel, tile=4)
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        expected, more = model(images()), model(images(3))
        with KeysSeen() as seen, sparse:
            torch.testing.assert_close(model(images()), expected, rtol=1e-5, atol=1e-5)
        with sparse:
            torch.testing.assert_close(model(images(3)), more, rtol=1e-5, atol=1e-5)
        assert (kernel == "flex") == (seen.keys == [])
        assert kernel == "flex" or min(seen.keys) < 16
        assert torch.equal(model(images()), expected)


@UNCOMPILED
def test_block_masks_are_made_once_per_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def counted(*args: Any, **kwargs: Any) -> Any:
        made.append(create(*args, **kwargs))
        return made[-1]

    create = flex_attention.create_block_mask
    monkeypatch.setattr(flex_attention, "create_block_mask", counted)
    model, sparse = winft(base()), SparseAttention("flex")
    fields = random_windows(torch.full((3, 16), 0.2), GRID, 0)
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        for new, wanted in ((fields, 3), (fields, 3), (fields.flip(0), 3), (fields | fixed_windows(GRID, 1), 6)):
            model.set_fields(new)
            expected = model(images())
            for _ in range(2):
                with sparse:
                    torch.testing.assert_close(model(images()), expected, rtol=1e-5, atol=1e-5)
            assert len(made) == wanted
        query, key, value, mask = heads(17, 0.2)
        with sparse:
            attend(query, key, value, attn_mask=mask)
            mask.fill_(True)  # what was kept is not the caller's
            torch.testing.assert_close(attend(query, key, value, attn_mask=mask), attend(query, key, value))
    assert len(made) == 8


@pytest.mark.parametrize("kernel", ["auto", "flex"])
def test_gradients_are_those_of_masked_attention(kernel: Kernel) -> None:
    model = winft(base())
    model.set_fields(fixed_windows(GRID, 1).expand(3, 16, 16))
    model(images()).square().sum().backward()
    expected = {name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None}
    model.zero_grad()
    with SparseAttention(kernel, tile=4):
        model(images()).square().sum().backward()
    assert expected
    for name, each in model.named_parameters():
        torch.testing.assert_close(each.grad, expected[name], rtol=1e-4, atol=1e-5 * expected[name].abs().max().item())


def test_no_such_kernel() -> None:
    with pytest.raises((UnknownName, TypeCheckError)):  # what the type checks of a test run let through
        SparseAttention("gather")  # type: ignore[arg-type]


def test_what_has_a_mask_per_image_is_left_alone() -> None:
    model, x = winft(base(), rf_mode="per_image"), images()
    fields = image_fields(base(), x, 0.3)
    with torch.no_grad():
        expected = model(x, fields)
        with SparseAttention(tile=4):
            assert torch.equal(model(x, fields), expected)
