"""Preprocessing equals that of the libraries whose models it feeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from timm.data import create_transform
from torch import nn
from torchvision.models import get_model_weights
from torchvision.transforms import functional as F

import vitreous.data
from vitreous.errors import ShapeError
from vitreous.models.preprocess import Preprocess
from vitreous.models.timm_source import preprocess_from
from vitreous.models.zoo import load

SIZES = [(90, 60), (61, 83), (40, 40), (13, 57), (5, 4), (200, 31)]
TIMM = tuple(int(part) for part in timm.__version__.split(".")[:3])


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


def photo(width: int, height: int) -> Image.Image:
    with Image.open(Path(vitreous.data.__file__).parent / "sample" / "chelsea.png") as picture:
        return picture.convert("RGB").resize((width, height))


@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize("size", [(32, 32), (24, 40), (33, 33)], ids=str)
@pytest.mark.parametrize(("crop_pct", "interpolation"), [(0.875, "bicubic"), (0.9, "bilinear"), (1.0, "bicubic")])
def test_equals_timm(crop_mode: str, size: tuple[int, int], crop_pct: float, interpolation: str) -> None:
    config = {
        "input_size": (3, *size),
        "interpolation": interpolation,
        "mean": (0.48, 0.45, 0.4),
        "std": (0.2, 0.22, 0.25),
        "crop_pct": crop_pct,
        "crop_mode": crop_mode,
    }
    if size == (24, 40) and (crop_mode, interpolation) == ("center", "bicubic") and TIMM < (1, 0, 31):
        pytest.skip("timm before 1.0.31 resizes to what is no square bilinearly, whatever it is told")
    theirs, ours = create_transform(**config), preprocess_from(config)
    for width, height in SIZES:
        picture = noise(width, height)
        assert torch.equal(ours(picture), theirs(picture))


@pytest.mark.parametrize("name", ["vit_b_16", "vit_h_14", "swin_t", "swin_v2_b", "maxvit_t", "efficientnet_b1"])
def test_equals_torchvision(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.models, "get_model", lambda *_, **__: nn.Identity())
    ours, theirs = load(f"torchvision:{name}").preprocess, get_model_weights(name).DEFAULT.transforms()
    assert ours is not None
    for width, height in SIZES[:3]:
        picture = noise(width, height)
        torch.testing.assert_close(ours(picture), theirs(picture), rtol=0, atol=1e-6)


PROCESSORS: dict[str, tuple[str, dict[str, Any]]] = {
    "vit": ("ViTImageProcessor", {"size": {"height": 32, "width": 32}}),
    "vit not square": ("ViTImageProcessor", {"size": {"height": 32, "width": 48}, "resample": 3}),
    "vit without normalization": ("ViTImageProcessor", {"size": {"height": 32, "width": 32}, "do_normalize": False}),
    "vit to -1 … 1": (
        "ViTImageProcessor",
        {
            "size": {"height": 32, "width": 32},
            "rescale_factor": 1 / 127.5,
            "image_mean": [1, 1, 1],
            "image_std": [1, 1, 1],
        },
    ),
    "clip": ("CLIPImageProcessor", {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}),
    "dinov2": ("BitImageProcessor", {"size": {"shortest_edge": 37}, "crop_size": {"height": 32, "width": 32}}),
    "a crop with a border": (
        "CLIPImageProcessor",
        {"size": {"shortest_edge": 24}, "crop_size": {"height": 32, "width": 32}},
    ),
    "convnext": ("ConvNextImageProcessor", {"size": {"shortest_edge": 32}}),
    "convnext, large": ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}}),
}


@pytest.mark.parametrize("case", PROCESSORS)
def test_equals_hugging_face_within_two_levels(case: str, tmp_path: Path) -> None:
    import transformers

    from vitreous.models.hf_processor import read_preprocess

    name, settings = PROCESSORS[case]
    processor = getattr(transformers, name)(**settings)
    processor.save_pretrained(tmp_path)
    ours = read_preprocess(str(tmp_path), local=True)
    assert ours is not None
    for width, height in SIZES[:3]:  # theirs resizes tensors, ours pictures; on white noise, bicubic would differ more
        picture = photo(width, height)
        difference = ours(picture) - processor(picture, return_tensors="pt")["pixel_values"][0]
        assert (difference.abs() * torch.tensor(ours.std)[:, None, None]).max() <= 2.001 / 255


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("MobileViTImageProcessor", {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}),
        ("LevitImageProcessor", {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}),
        ("ViTImageProcessor", {"do_resize": False}),
        ("CLIPImageProcessor", {"do_center_crop": False}),
    ],
)
def test_processors_that_do_something_else_are_not_translated(
    name: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    import transformers

    from vitreous.models.hf_processor import read_preprocess

    getattr(transformers, name)(**settings).save_pretrained(tmp_path)
    assert read_preprocess(str(tmp_path), local=True) is None


CASES = {
    "crop": Preprocess((32, 32), (40, 40)),
    "no crop": Preprocess((32, 32), (32, 32)),
    "rounded down": Preprocess((32, 32), (37, 37), floor=True),
    "not square": Preprocess((24, 40), (27, 45)),
    "squash": Preprocess((32, 32), (36, 36), keep_ratio=False),
    "border": Preprocess((32, 32), (32, 32), border=True),
    "smaller than the crop": Preprocess((32, 32), (20, 20)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("size", [(640, 480), (333, 500), (20, 30)], ids=str)
def test_the_view_lies_under_the_input(case: str, size: tuple[int, int]) -> None:
    """The view, squeezed to the input's size, is the input: on a picture that tells every place by its color."""
    preprocess = CASES[case]
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    colors = np.stack([50 + 200 * x / width, 50 + 200 * y / height, np.full(x.shape, 250)], -1)
    picture = Image.fromarray(colors.astype(np.uint8))
    seen = F.to_tensor(F.resize(preprocess.view(picture), list(preprocess.size))) * 255
    given = (preprocess(picture) * 0.5 + 0.5) * 255
    inside = (given[2] > 249) & (seen[2] > 249)  # beyond the picture, both have a border
    assert inside.float().mean() > 0.3
    pixel = 200 / min(size) + 200 / 32 / 2  # half a pixel of the view at either edge, and half one of the input
    assert (given - seen)[:2, inside].abs().max() < pixel
    assert ((given[2] > 249) != (seen[2] > 249)).float().mean() < 0.13  # one row of pixels at most, on either side


def test_the_view_of_a_crop() -> None:
    preprocess = Preprocess((224, 224), (256, 256))
    assert preprocess.view(noise(512, 512)).size == (448, 448)
    assert preprocess.view(noise(1024, 512)).size == (448, 448)
    assert preprocess.view(noise(1, 1)).size == (1, 1)
    assert Preprocess((224, 224), (224, 224), keep_ratio=False).view(noise(31, 77)).size == (31, 77)
    assert Preprocess((224, 224), (224, 224), border=True).view(noise(100, 50)).size == (100, 100)


def test_a_strip_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(ShapeError, match=r"a picture of 60000×1 pixels is too narrow\. Crop it first\."):
        Preprocess((224, 224), (256, 256))(Image.new("RGB", (60_000, 1)))


def test_json_and_back() -> None:
    preprocess = Preprocess((24, 40), (27, 45), False, "bilinear", (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), True, True)
    assert Preprocess.from_json(preprocess.to_json()) == preprocess
    assert Preprocess.from_json({"size": [64, 64], "resize": 72}) == Preprocess((64, 64), (72, 72))
