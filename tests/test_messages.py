"""Errors, word for word: a fact with the values, then what to do."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn

from tests.contract.zoo import CASES
from vitreous import errors
from vitreous.masking.patches import pixel_mask
from vitreous.methods import METHODS, make_method
from vitreous.trace.observe import observe
from vitreous.trace.target import Classes

MESSAGES = {
    "mean pooling": (
        lambda: make_method("ag_cam")(*_case("timm_vit_mean")),
        "`ag_cam` reads the class-token row, but the class scores of `VisionTransformer` depend on none of its 1 "
        "tokens beside the patches: it pools these, or its head is all zeros. "
        'Use `rollout` or `raw_attention` with readout="mean".',
    ),
    "no class token": (
        lambda: make_method("rollout")(*_case("timm_siglip")),
        "`rollout` reads the class-token row, but `VisionTransformer` has 16 tokens for a 4×4 grid: none is left for a "
        'class token. Use `rollout` or `raw_attention` with readout="mean".',
    ),
    "mean of a class-token model": (
        lambda: make_method("rollout", readout="mean")(*_case("timm_vit")),
        '`rollout` with readout="mean" averages the patches, but the class scores of `VisionTransformer` depend on no '
        'patch of the last layer. Use readout="class".',
    ),
    "windows": (
        lambda: make_method("ag_cam")(*_case("timm_swin")),
        "the first attention of `SwinTransformer` is not between all patches of the picture. Windowed, pooled "
        "and channel attention, and heads or views of a picture that share an axis with the images, give no global "
        "map: use a method that reads a layer, such as `grad_cam`, or hides parts of the picture, such as `rise`.",
    ),
    "a CNN": (
        lambda: make_method("ag_cam")(*_case("timm_resnet")),
        "`ResNet` ran without any attention between tokens that torch could show, as convolutional networks and linear "
        "or factorized attention do. Use a method that reads a layer, such as `grad_cam`, or hides parts of the "
        "picture, such as `rise`; a flash-attention or xformers kernel can be switched to torch's own.",
    ),
    "an untrained head": (
        lambda: make_method("ag_cam")(*_untrained()),
        "`ag_cam` reads the class-token row, but the class scores of `VisionTransformer` depend on none of its 1 "
        "tokens beside the patches: it pools these, or its head is all zeros. "
        'Use `rollout` or `raw_attention` with readout="mean".',
    ),
    "method": (
        lambda: make_method("agcam"),
        'no method named "agcam". Did you mean "ag_cam"? Known: '
        f"{', '.join(sorted(METHODS)[:12])}, … ({len(METHODS)} in all).",
    ),
    "setting": (
        lambda: make_method("rollout", layer=1),
        'no setting of `rollout` named "layer". Did you mean "start_layer"? Known: start_layer, readout.',
    ),
    "value": (
        lambda: make_method("rollout", start_layer=3)(*_case("timm_vit")),
        'no value of `start_layer` named "3". Known: 0, 1, 2.',
    ),
    "class": (
        lambda: make_method("ag_cam")(*_case("timm_vit"), Classes((9,))),
        'no class named "9". Known: 0 … 6.',
    ),
    "not finite": (
        lambda: observe(nn.Identity(), torch.tensor([torch.nan])),
        "`images` (1,) holds NaN or infinite values. Check how they were normalized.",
    ),
    "patches": (
        lambda: pixel_mask(torch.zeros(3, 3, dtype=torch.bool), (32, 32)),
        "a 3×3 grid does not tile 32×32 pixels. Use the model's own grid.",
    ),
    "layer": (
        lambda: observe(*_case("timm_vit"), layers=["blocks.7"]),
        'no layer named "blocks.7". Did you mean "blocks.2"?',
    ),
    "extra": (
        lambda: (_ for _ in ()).throw(errors.MissingExtra("transformers", "hf")),
        "this needs `transformers`, which is not installed. Run: pip install 'vitreous[hf]'",
    ),
}


def _case(name: str) -> tuple[nn.Module, torch.Tensor]:
    return CASES[name].model(), CASES[name].images()


def _untrained() -> tuple[nn.Module, torch.Tensor]:
    model, images = _case("timm_vit")
    nn.init.zeros_(model.head.weight)
    return model, images


@pytest.mark.parametrize("name", MESSAGES)
def test_message(name: str) -> None:
    cause, text = MESSAGES[name]
    with pytest.raises(errors.ExplainError, match=re.escape(text)):
        cause()


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    for name in (name for name in errors.__all__ if name[0].isupper()):
        assert re.search(rf"[─ ]{name}\b|^{name}\b", errors.__doc__ or "", re.MULTILINE), name
        assert issubclass(getattr(errors, name), errors.ExplainError | errors.ExplainWarning)
