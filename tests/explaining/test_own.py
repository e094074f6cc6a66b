"""A module of one's own, and pictures: how they are prepared, what the classes are called, where the map lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import transforms

import vitreous
from tests.contract.zoo import CASES
from tests.tiny import noise
from vitreous import Preprocess
from vitreous.errors import ModelError, ShapeError

COLOR = Preprocess((32, 32), (36, 36), mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.2))
THEIRS = transforms.Compose(
    [
        transforms.Resize(36, transforms.InterpolationMode.BICUBIC),
        transforms.CenterCrop(32),
        transforms.ToTensor(),
        transforms.Normalize((0.4, 0.5, 0.6), (0.2, 0.3, 0.2)),
    ]
)


@pytest.fixture
def cat(tmp_path: Path) -> Path:
    noise(1, (90, 60)).save(tmp_path / "cat.png")
    return tmp_path / "cat.png"


def test_a_module_of_ones_own_explains_a_picture(cat: Path) -> None:
    model = CASES["torch_encoder"].model()
    with pytest.raises(ModelError, match=r"Say it with preprocess=, a vitreous.Preprocess or a function"):
        vitreous.explain(model, cat)
    names = [f"kind {at}" for at in range(7)]
    mine = vitreous.explain(model, cat, preprocess=COLOR, class_names=names, target="kind 3")
    with torch.no_grad():
        logits = model(COLOR(Image.open(cat))[None])
    torch.testing.assert_close(mine.logits, logits)
    assert mine.class_name(int(mine.target)) == "kind 3"
    assert mine.overlay().size == (54, 54)  # 32 of 36 rows of the picture's 60: the part that the model saw
    theirs = vitreous.explain(model, cat, preprocess=THEIRS, target=3)
    torch.testing.assert_close(theirs.heatmap, mine.heatmap)
    assert theirs.overlay().size == (90, 60)  # what a function keeps is unknown: over the whole picture


def test_what_is_given_goes_before_what_the_model_says(cat: Path) -> None:
    model = CASES["timm_vit"].model()
    for subject in (model, vitreous.LoadedModel(model, Preprocess((32, 32)), (), "mine")):
        got = vitreous.explain(subject, cat, preprocess=COLOR, class_names=list("abcdefg"))
        torch.testing.assert_close(got.logits, model(COLOR(Image.open(cat))[None]).detach())
        assert got.class_names == tuple("abcdefg")


def test_one_channel(cat: Path) -> None:
    model = CASES["timm_vit_gray"].model()
    with torch.no_grad():
        expected = model((transforms.ToTensor()(Image.open(cat).convert("L").resize((32, 32), 3)) - 0.5)[None] / 0.5)
    for given in (None, Preprocess((32, 32), mean=(0.5,), std=(0.5,), keep_ratio=False)):
        got = vitreous.explain(model, cat, preprocess=given)
        if given:
            torch.testing.assert_close(got.logits, expected)
        assert got.overlay().mode == "RGB"
    tensors = vitreous.explain(model, CASES["timm_vit_gray"].images())
    assert len(tensors.heatmap) == 2
    colored = CASES["timm_vit_gray"].model()
    colored.pretrained_cfg = {**colored.pretrained_cfg, "mean": (0.4, 0.5, 0.6)}
    with pytest.raises(ModelError, match="does not say how its pictures are prepared"):  # what is gray's mean?
        vitreous.explain(colored, cat)


def test_gray_is_padded_like_color() -> None:
    picture = Image.fromarray(np.full((10, 30), 77, np.uint8)).convert("RGB")
    for border in (False, True):
        color = Preprocess((32, 32), (24, 24), mean=(0.5,) * 3, std=(0.5,) * 3, border=border)(picture)
        gray = Preprocess((32, 32), (24, 24), mean=(0.5,), std=(0.5,), border=border)(picture)
        torch.testing.assert_close(gray, color[:1])


def _fails(picture: Any) -> Tensor:
    raise KeyError("pixel_values")


REFUSED: dict[str, tuple[Any, type[Exception], str]] = {
    "raises": (_fails, ModelError, "`preprocess` failed on a picture of 90×60 RGB pixels: KeyError: 'pixel_values'."),
    "no tensor": (np.asarray, ShapeError, "gave ndarray for a picture, not a tensor"),
    "no channels": (lambda picture: torch.zeros(32, 32), ShapeError, r"gave \(32, 32\) for a picture"),
    "bytes": (transforms.PILToTensor(), ShapeError, "must be normalized floating point; got torch.uint8"),
    "NaN": (lambda picture: torch.full((3, 32, 32), torch.nan), ShapeError, "holds NaN"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_functions_that_do_not_prepare_are_refused(case: str, cat: Path) -> None:
    function, kind, message = REFUSED[case]
    with pytest.raises(kind, match=message) as caught:
        vitreous.explain(CASES["torch_encoder"].model(), cat, preprocess=function)
    assert (caught.value.__cause__ is not None) == (case == "raises")


def test_pictures_of_several_sizes_are_said(cat: Path) -> None:
    with pytest.raises(ShapeError, match=r"shapes \[\(3, 30, 40\), \(3, 60, 90\)\]. Resize and crop to one size"):
        vitreous.explain(CASES["torch_encoder"].model(), [cat, noise(1)], preprocess=transforms.ToTensor())


def test_names_must_be_as_many_as_classes(cat: Path) -> None:
    with pytest.raises(ShapeError, match=r"there are 2 `class_names` for 7 classes. Give one for each"):
        vitreous.explain(CASES["torch_encoder"].model(), cat, preprocess=COLOR, class_names=["a", "b"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mean": (0.5, 0.5)}, "fit no picture. Give three of each for color, or one for gray"),
        ({"std": (0.5, 0.5, 0.0)}, "fit no picture"),
        ({"mean": (0.5,)}, "fit no picture"),
    ],
)
def test_a_preprocess_that_fits_no_picture_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        Preprocess((32, 32), **settings)


def test_interactions_take_them_as_well(cat: Path) -> None:
    model = CASES["torch_encoder"].model()
    got = vitreous.interactions(model, cat, preprocess=THEIRS)
    torch.testing.assert_close(got.logits, vitreous.interactions(model, THEIRS(Image.open(cat))).logits)


def test_windows_reach_the_model(tmp_path: Path) -> None:
    values = np.linspace(0, 4095, 32 * 32).astype(np.uint16).reshape(32, 32)
    Image.fromarray(values).save(tmp_path / "scan.png")
    model, plain = CASES["torch_encoder"].model(), Preprocess((32, 32))
    got = vitreous.explain(model, tmp_path / "scan.png", preprocess=plain, pixel_window=(0.0, 4095.0))
    light = Image.fromarray(np.rint(values / 4095 * 255).astype(np.uint8))
    torch.testing.assert_close(got.logits, vitreous.explain(model, light, preprocess=plain).logits)
    assert isinstance(model, nn.Module)
