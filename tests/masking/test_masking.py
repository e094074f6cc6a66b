from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tests.contract.zoo import CASES
from vitreous.errors import ShapeError, UnknownName
from vitreous.masking.fill import FILLS, blurred, hide, make_fill, solid
from vitreous.masking.forward import masked_logits
from vitreous.masking.patches import pixel_mask, refine
from vitreous.trace.target import logits_of

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.5]


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**16))
def test_pixel_masks_are_the_patches_pixel_by_pixel(h: int, w: int, high: int, wide: int, seed: int) -> None:
    hidden = torch.rand(2, h, w, generator=torch.Generator().manual_seed(seed)) < 0.5
    mask = pixel_mask(hidden, (h * high, w * wide))
    for top in range(h * high):
        for left in range(w * wide):
            assert torch.equal(mask[:, top, left], hidden[:, top // high, left // wide])


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 3), st.integers(0, 2**16))
def test_coarse_to_fine_and_back(h: int, w: int, factor: int, seed: int) -> None:
    hidden = torch.rand(h, w, generator=torch.Generator().manual_seed(seed)) < 0.5
    fine = refine(hidden, (h * factor, w * factor))
    assert fine.sum() == hidden.sum() * factor**2
    assert torch.equal(refine(fine, (h, w)), hidden)


def test_only_hidden_pixels_change() -> None:
    images, hidden = torch.randn(2, 3, 8, 8), torch.rand(2, 4, 4) < 0.5
    for fill in (solid(0.0, MEAN, STD), blurred(1.0)):
        filled, mask = hide(images, hidden, fill), pixel_mask(hidden, (8, 8))[:, None].expand_as(images)
        assert torch.equal(filled[~mask], images[~mask])
        assert (filled[mask] != images[mask]).all()


def test_values_are_given_before_normalisation() -> None:
    images = torch.randn(1, 3, 4, 4)
    black = hide(images, torch.ones(1, 2, 2, dtype=torch.bool), solid(0.0, MEAN, STD))
    unnormalised = black * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
    torch.testing.assert_close(unnormalised, torch.zeros_like(images))


def test_one_mask_for_all_images() -> None:
    images, hidden = torch.randn(3, 3, 4, 4), torch.tensor([[[True, False], [False, False]]])
    assert hide(images, hidden, solid(1.0, MEAN, STD)).shape == images.shape


def test_a_grid_that_does_not_tile_is_refused() -> None:
    with pytest.raises(ShapeError, match="3×3 grid does not tile 8×8"):
        pixel_mask(torch.zeros(3, 3, dtype=torch.bool), (8, 8))


@pytest.mark.parametrize("soft", [False, True])
def test_masked_logits_are_those_of_each_masked_image(soft: bool) -> None:
    case = CASES["timm_vit"]
    model, images, fill = case.model(), case.images(), solid(0.5, MEAN, STD)
    share = torch.rand(5, 4, 4, generator=torch.Generator().manual_seed(0))
    hidden = share if soft else share < 0.5
    whole = masked_logits(model, images, hidden, fill)
    torch.testing.assert_close(masked_logits(model, images, [hidden, hidden], fill, batch_size=2), whole)
    for at, image in enumerate(images):
        for mask, logits in zip(hidden, whole[at], strict=True):
            where = pixel_mask(mask[None].float(), (32, 32))
            masked = image * (1 - where) + fill(images)[at] * where
            with torch.no_grad():
                torch.testing.assert_close(model(masked[None])[0], logits)


def test_every_image_needs_as_many_masks() -> None:
    case, mask = CASES["timm_vit"], torch.zeros(2, 4, 4, dtype=torch.bool)
    with pytest.raises(ShapeError, match=r"in numbers of \[2, 1\]"):
        masked_logits(case.model(), case.images(), [mask, mask[:1]], solid(0.0, MEAN, STD))


def test_fills_by_name() -> None:
    images = torch.rand(2, 3, 20, 20)
    filled = {name: make_fill(name, MEAN, STD)(images) for name in FILLS}
    assert all(fill.shape == images.shape for fill in filled.values())
    pixels = filled["gray"] * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
    torch.testing.assert_close(pixels, torch.full_like(images, 0.5))
    assert torch.equal(filled["mean"], torch.zeros_like(images))
    assert torch.equal(filled["blur"], blurred(2.0)(images))
    with pytest.raises(ShapeError, match="Give mean= and std="):
        make_fill("black", (), ())
    with pytest.raises(UnknownName, match='no fill named "grey"'):
        make_fill("grey", MEAN, STD)


class Embedded(TorchFunctionMode):
    """Counts the pictures that convolutions see."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.pictures += len(args[0]) if func is torch.conv2d else 0
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["timm_vit", "timm_swin", "hf_vit_sdpa", "torchvision_vit", "open_clip"])
def test_patches_are_embedded_once(name: str) -> None:
    case = CASES[name]
    model, images = case.model(), case.images()[:1]
    for grid, embedded in (((4, 4), 2), ((32, 32), 6)):  # image and filling; every picture, where masks cut patches
        hidden = torch.rand(6, *grid, generator=torch.Generator().manual_seed(0)) < 0.5
        with Embedded() as seen:
            logits = masked_logits(model, images, hidden, torch.zeros_like)
        assert seen.pictures == embedded
        with torch.no_grad():
            torch.testing.assert_close(logits[0], model_logits(model, images * ~pixel_mask(hidden, (32, 32))[:, None]))


def model_logits(model: nn.Module, images: Tensor) -> Tensor:
    return logits_of(model(images), "model", len(images))
