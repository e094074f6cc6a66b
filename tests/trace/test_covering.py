"""A model that crops or pads its picture by itself: a map of its patches would be moved, and is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import vitreous
from vitreous.errors import NoTokenGrid, Uncovered
from vitreous.methods import make_method
from vitreous.trace.layer import find_layer
from vitreous.trace.observed import TokenGrid
from vitreous.trace.places import measure_tokens
from vitreous.trace.reading import Reading, reading


class Fits(nn.Module):
    """Makes a picture fit by itself."""

    def __init__(self, fit: Callable[[Tensor], Tensor], inner: nn.Module) -> None:
        super().__init__()
        self.fit, self.inner = fit, inner

    def forward(self, pictures: Tensor) -> Tensor:
        return self.inner(self.fit(pictures))


def vit(**how: Any) -> nn.Module:
    torch.manual_seed(0)
    tiny: dict[str, Any] = {
        "img_size": 32,
        "patch_size": 8,
        "embed_dim": 16,
        "depth": 1,
        "num_heads": 2,
        "num_classes": 3,
    }
    return timm.create_model("vit_tiny_patch16_224", **{**tiny, **how})


class Stem(nn.Module):
    """Convolutions of stride 2, whose receptive fields overlap."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        widths = ((3, 32), (32, 32), (32, 32))
        self.stem = nn.Sequential(*(nn.Sequential(nn.Conv2d(*each, 3, 2, 1), nn.ReLU()) for each in widths))
        layer = nn.TransformerEncoderLayer(32, 2, 64, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.encoder(self.stem(pictures).flatten(2).mT).mean(1)


REFUSED: dict[str, tuple[int, Callable[[Tensor], Tensor], dict[str, Any], str]] = {
    "padded at the right": (25, lambda x: F.pad(x, (0, 7, 0, 7)), {}, "8 pixels high each, 32 of its 25 in all"),
    "padded": (26, lambda x: F.pad(x, (3, 3, 3, 3)), {}, "8 pixels high each, 32 of its 26"),
    "padded by half a patch": (28, lambda x: F.pad(x, (0, 4, 0, 4)), {}, "32 of its 28"),
    "cropped": (40, lambda x: x[..., 4:-4, 4:-4], {}, "leave out 4 pixels at its top and 4 at its bottom"),
    "cropped at the left": (38, lambda x: x[..., 6:], {"img_size": 32}, "6 at its left|6 pixels at its left"),
    "cropped, four patches": (
        40,
        lambda x: x[..., 4:-4, 4:-4],
        {"patch_size": 16},
        "16 pixels high each, 32 of its 40",
    ),
    "cropped, no gradient": (40, lambda x: x[..., 4:-4, 4:-4].detach(), {}, "cannot be told where no gradient flows"),
    "moved": (32, lambda x: F.pad(x, (4, -4)), {}, "leave out 0 pixels at its left and 4 at its right"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_half_a_patch_is_refused(kind: str) -> None:
    size, fit, how, why = REFUSED[kind]
    side = (32, size) if "left" in kind else (size, size)
    model, pictures = Fits(fit, vit(**how)), torch.randn(1, 3, *side, generator=torch.Generator().manual_seed(1))
    for dtype in (torch.float32, torch.bfloat16):
        with pytest.raises(NoTokenGrid, match=rf"(?s){why}.* Say grid=\("):
            measure_tokens(model.to(dtype), pictures.to(dtype))
    count = 32 // how.get("patch_size", 8)
    with reading(Reading(grid=(count, count))):  # as the message says
        assert make_method("rollout")(model.float(), pictures).heatmap.shape == (1, count, count)


TAKEN: dict[str, tuple[int, Callable[[Tensor], Tensor]]] = {
    "as it is": (32, lambda x: x),
    "rows and columns that no patch takes": (35, lambda x: x[..., :32, :32]),
    "padded by a quarter": (30, lambda x: F.pad(x, (0, 2, 0, 2))),
    "made larger": (23, lambda x: F.interpolate(x, (32, 32), mode="bilinear")),
    "made smaller": (80, lambda x: F.interpolate(x, (32, 32))),
    "normalized": (32, lambda x: (x - x.mean((1, 2, 3), keepdim=True)) / x.std((1, 2, 3), keepdim=True)),
    "no gradient": (32, Tensor.detach),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_less_is_taken(kind: str) -> None:
    size, fit = TAKEN[kind]
    model, pictures = Fits(fit, vit()), torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))
    assert measure_tokens(model, pictures) == TokenGrid(1, 4, 4)


def test_overlapping_receptive_fields_are_told_from_a_crop() -> None:
    def pictures(size: int) -> Tensor:
        return torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(1))

    model = Stem()
    for side in (32, 64):
        assert measure_tokens(model, pictures(side)) == TokenGrid(0, side // 8, side // 8)
    with pytest.raises(NoTokenGrid, match=r"pixels high each, \d\d\.?\d? of its 56"):
        measure_tokens(Fits(lambda x: F.pad(x, (4, 4, 4, 4)), model), pictures(56))
    with pytest.raises(NoTokenGrid, match="Say"):
        measure_tokens(Fits(lambda x: x[..., 4:-4, 4:-4], model), pictures(72))


def test_few_patches_of_an_overlapping_stem_are_not_taken_for_a_crop() -> None:
    """Of 2×3 patches that see nearly all of the picture, a grid may not be found, but nothing was cropped."""

    def said(seed: int) -> str:
        try:
            measure_tokens(Stem(), torch.randn(1, 3, 16, 24, generator=torch.Generator().manual_seed(seed)), seed=seed)
        except NoTokenGrid as error:
            return str(error)
        return ""

    assert not [seed for seed in range(8) if "do not share out" in said(seed)]


class Convolutions(nn.Module):
    def __init__(self, fit: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fit, self.head = fit, nn.Linear(16, 3)
        self.stem = nn.Sequential(*(nn.Sequential(nn.Conv2d(each, 16, 3, 2, 1), nn.ReLU()) for each in (3, 16)))

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head(self.stem(self.fit(pictures)).mean((2, 3)))


@pytest.mark.parametrize(
    ("fit", "why"),
    [
        (lambda x: x[..., 8:-8, 8:-8], "8 pixels at the top of the picture and 8 at the bottom"),
        (lambda x: x[..., 6:], "6 pixels at the left of the picture and 0 at the right"),
    ],
)
def test_maps_of_a_cropped_picture_are_refused(fit: Callable[[Tensor], Tensor], why: str) -> None:
    pictures = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert find_layer(Convolutions(nn.Identity()), pictures).name == "stem"
    assert find_layer(Convolutions(lambda x: x[..., 1:, 1:]), pictures).name == "stem"
    with pytest.raises(Uncovered, match=why):
        find_layer(Convolutions(fit), pictures)
    with reading(Reading(grid=(4, 4))):  # as the message says
        assert find_layer(Convolutions(fit), pictures).name == "stem"


@pytest.mark.parametrize(
    ("fit", "why"),
    [
        (lambda x: F.pad(x, (8, 8, 8, 8)), r"lies \d\.?\d? of its 12 cells off the picture, from top to bottom"),
        (lambda x: F.pad(x, (16, 0, 16, 0)), r"lies \d\.?\d? of its 12 cells off"),
        (lambda x: x.roll(8, -1), r"lies \d\.?\d? of its 8 cells off the picture, from left to right"),
        # of the shape that no map of the picture has: 16 channels of 16 rows, of 24, taken for rows, columns, channels
        (lambda x: F.pad(x, (0, 16)), "does not follow the picture from top to bottom"),
    ],
)
def test_maps_of_a_padded_picture_are_refused(fit: Callable[[Tensor], Tensor], why: str) -> None:
    pictures = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with pytest.raises(Uncovered, match=why):
        find_layer(Convolutions(fit), pictures)


@pytest.mark.parametrize("moved", range(1, 9))
def test_a_shift_of_less_than_half_a_patch_is_the_most_that_is_taken(moved: int) -> None:
    """At one side, what is cut there comes back as a margin at the other."""
    pictures = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    model = Fits(lambda x: F.pad(x, (moved, -moved)), vit())
    if moved <= 3:
        assert measure_tokens(model, pictures) == TokenGrid(1, 4, 4)
    else:
        with pytest.raises(NoTokenGrid):
            measure_tokens(model, pictures)


@pytest.mark.parametrize("size", [64, 224])
def test_strides_that_skip_pixels_are_no_crop(size: int) -> None:
    """As training starts, the blocks of a ResNet add nothing, and what skips them looks at every 32nd pixel or so."""
    model = timm.create_model("resnet18", num_classes=3).eval()
    assert vitreous.explain(model, torch.randn(1, 3, size, size), "eigen_cam").layer == "layer4"
