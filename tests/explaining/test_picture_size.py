"""An explanation in the pixels of its picture, and on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import vitreous
from tests.contract.zoo import CASES
from tests.tiny import noise
from vitreous import Explanation, Preprocess, View
from vitreous.errors import DataError, ModelError, ShapeError
from vitreous.methods import make_method
from vitreous.render.overlay import upsample

PICTURE = noise(1, (90, 60))
CROPPED = Preprocess((32, 32), (36, 36))  # 32 of 36 rows of the picture's 60: 53 or 54 pixels
BORDERED = Preprocess((32, 32), (32, 32), border=True)


@pytest.fixture(scope="module")
def explained() -> Explanation:
    return vitreous.explain(CASES["timm_vit"].model(), [PICTURE, noise(2, (60, 90))], preprocess=CROPPED)


def alone(explained: Explanation, heatmap: torch.Tensor, **more: Any) -> Explanation:
    """Of one image, with another map."""
    return replace(explained, heatmap=heatmap, logits=None, target=None, inputs=None, **more)


def test_it_keeps_what_was_given_and_copies_nothing() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    found = vitreous.explain(model, images, ["grad_cam", "rollout"], target=3, link="sigmoid")
    for each in found.values():
        assert each.inputs is images
        assert each.how.link == "sigmoid"
        assert each.wanted is not None
        assert each.wanted(torch.zeros(1, 7)).argmax() == 3
    picture = vitreous.explain(model, PICTURE, preprocess=CROPPED)
    assert picture.views[0].box == CROPPED.box(PICTURE)
    assert picture.inputs is not None
    assert torch.equal(picture.inputs[0], CROPPED(PICTURE))


def test_the_map_lies_on_what_the_model_saw(explained: Explanation) -> None:
    for at, view in enumerate(explained.views):
        wide = explained.at_picture_size(at)
        left, top, right, bottom = view.box
        assert wide.shape == (view.whole.height, view.whole.width)
        torch.testing.assert_close(
            wide[top:bottom, left:right], upsample(explained.heatmap[at], (bottom - top, right - left))
        )
        assert wide.isnan().sum() == wide.numel() - (bottom - top) * (right - left)


def test_a_border_is_cut_off() -> None:
    found = vitreous.explain(CASES["timm_vit"].model(), PICTURE, preprocess=BORDERED)
    left, top, right, bottom = found.views[0].box
    assert (left, right) == (0, 90)
    assert top < 0
    assert bottom > 60
    whole = upsample(found.heatmap[0], (bottom - top, 90))
    torch.testing.assert_close(found.at_picture_size(), whole[-top : 60 - top])
    assert found.overlay().size == (90, bottom - top)
    assert found.overlay(whole=True).size == (90, 60)


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.7), (0.2, 0.9), (1 / 3, 1.0)])
def test_a_plateau_at_the_threshold_is_marked_as_one(explained: Explanation, low: float, high: float) -> None:
    heatmap = torch.full((1, 7, 7), (low + high) / 2)
    heatmap[0, 0, 0], heatmap[0, -1, -1] = low, high
    made = alone(explained, heatmap, views=explained.views[:1])
    left, top, right, bottom = made.views[0].box
    middle = made.mask(0.5)[top:bottom, left:right][20:-20, 20:-20]
    assert middle.numel() > 100
    assert middle.all(), "rounding speckled it"


def test_mask_and_boxes_hold_what_is_above_the_threshold(explained: Explanation) -> None:
    heatmap = torch.zeros(1, 4, 4)
    heatmap[0, 0, 0], heatmap[0, 3, 2:] = 3.0, 5.0
    made = alone(explained, heatmap, views=explained.views[:1])
    left, top, right, bottom = made.views[0].box
    wide = made.at_picture_size()
    mask = made.mask(0.5)
    assert torch.equal(mask, wide >= 2.5)
    strongest, other = made.boxes(0.5)
    assert other[:2] == (left, top)
    assert strongest[2:] == (right, bottom)
    assert strongest[0] > (left + right) / 2 - 8
    assert mask.sum() == sum(mask[box[1] : box[3], box[0] : box[2]].sum() for box in (strongest, other))
    assert made.mask(0.0).sum() == (right - left) * (bottom - top), "outside there is nothing"
    with pytest.raises(ShapeError, match=r"`threshold` must lie in \[0, 1\]; got 50"):
        made.mask(50.0)


def test_a_signed_map_is_masked_by_what_speaks_for_the_class(explained: Explanation) -> None:
    heatmap = torch.tensor([[[-9.0, -9.0], [8.0, 1.0]]])
    made = alone(explained, heatmap, method=make_method("attn_lrp"), views=(View.of(PICTURE),))
    assert torch.equal(made.mask(0.5), made.at_picture_size() >= 4.5)
    assert len(made.boxes(0.5)) == 1


def test_blocks_keep_their_edges(explained: Explanation) -> None:
    heatmap = torch.tensor([[[0.0, 1.0]]])
    made = alone(explained, heatmap, method=make_method("mgrw"), views=(View.of(PICTURE),))
    assert set(made.at_picture_size().unique().tolist()) == {0.0, 1.0}
    assert made.boxes() == [(45, 0, 90, 60)]


def test_tensors_with_a_picture_beside_them() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    found = vitreous.explain(model, images)
    assert found.at_picture_size(1).shape == images.shape[2:], "the input's own pixels"
    assert found.mask().shape == images.shape[2:]
    with pytest.raises(ShapeError, match=r"was made from tensors\. Give the picture: picture=vitreous\.open_picture"):
        found.overlay()
    assert found.overlay(picture=PICTURE).size == PICTURE.size
    assert found.overlay(picture=PICTURE.convert("L"), isolines=True).size == PICTURE.size
    assert not found.at_picture_size(picture=PICTURE).isnan().any()
    seen = View(PICTURE, CROPPED.box(PICTURE))
    beside, given = vitreous.explain(model, CROPPED(PICTURE)), vitreous.explain(model, PICTURE, preprocess=CROPPED)
    assert beside.overlay(whole=True, picture=seen).tobytes() == given.overlay(whole=True).tobytes()
    assert beside.boxes(0.3, picture=seen) == given.boxes(0.3)
    loaded = replace(found, inputs=None)
    with pytest.raises(ShapeError, match="was made from tensors"):
        loaded.at_picture_size()


@pytest.mark.parametrize("name", ["ag_cam", "attn_lrp", "mgrw"])
def test_what_is_saved_can_be_loaded(name: str, explained: Explanation, tmp_path: Path) -> None:
    explained = replace(explained, method=make_method(name), layer="blocks.1", opposed=(True, False))
    explained.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as arrays:
        assert set(arrays) == {"heatmap", "logits", "target", "about"}, "neither pictures nor inputs"
        assert json.loads(str(arrays["about"]))["maps"]["heatmap"]["method"] == repr(make_method(name))
    back = Explanation.load(tmp_path / "a.npz")
    for field in ("heatmap", "logits", "target"):
        assert torch.equal(getattr(back, field), getattr(explained, field))
    for field in ("class_names", "layer", "link", "opposed", "signed"):
        assert getattr(back, field) == getattr(explained, field)
    assert repr(back) == repr(explained)
    assert back.answer(1) == explained.answer(1)
    assert not back.views
    seen = explained.views[0]
    torch.testing.assert_close(
        back.at_picture_size(picture=seen), explained.at_picture_size(), equal_nan=True, rtol=0, atol=0
    )
    whole = explained.views[0].whole
    assert back.boxes(0.3, picture=whole) == explained.boxes(0.3), "the file knows the part that the model saw"
    for wrong, said in ((whole.resize((9, 9)), "has 90 × 60 pixels, and this one 9 × 9"), ("a.png", "got `str`")):
        with pytest.raises(ShapeError, match=said):
            back.overlay(picture=wrong)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"no pictures\. Give the one that was explained: picture="):
        back.overlay()
    assert back.boxes(0.3) == explained.boxes(0.3)
    with pytest.raises(ModelError, match=r"was read from a file, which holds its maps and not itself"):
        back.method(CASES["timm_vit"].model(), CASES["timm_vit"].images())
    back.save(tmp_path / "b.npz")
    assert repr(Explanation.load(tmp_path / "b.npz")) == repr(explained)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_no_bit_is_lost_on_disk(dtype: torch.dtype, explained: Explanation, tmp_path: Path) -> None:
    heatmap = torch.rand(2, 3, 3, dtype=torch.float64).to(dtype)
    replace(explained, heatmap=heatmap, logits=None, target=None).save(tmp_path / "a.npz")
    back = Explanation.load(tmp_path / "a.npz")
    assert torch.equal(back.heatmap.double(), heatmap.double())
    assert back.logits is None


def test_files_that_save_has_not_written_are_refused(explained: Explanation, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with pytest.raises(DataError, match="there is no file"):
        Explanation.load(path)
    np.savez(path, ag_cam=np.zeros((1, 2, 2)))
    with pytest.raises(DataError, match=r"has no array `about`\. Give a file that Explanation\.save or"):
        Explanation.load(path)
    explained.save(path)
    with np.load(path) as arrays:
        whole = dict(arrays)
    about = json.loads(str(whole["about"]))
    for change in (
        {"heatmap": np.zeros((2, 2))},
        {"heatmap": whole["heatmap"][:1]},
        {"target": np.array([0, 7])},
        {"target": np.array([0.0, 1.0])},
        {"about": np.array("[]")},
        {"about": np.array("{")},
        {"about": np.array(json.dumps(about | {"link": "odds"}))},
        {"about": np.array(json.dumps(about | {"class_names": [1]}))},
        {"about": np.array(json.dumps(about | {"maps": {"heatmap": "ag_cam"}}))},
        {"about": np.array(json.dumps(about | {"maps": {}}))},
        {"about": np.array(json.dumps(about | {"crops": about["crops"][:1]}))},
    ):
        np.savez(path, **(whole | change))
        with pytest.raises(DataError, match="Give"):
            Explanation.load(path)


def test_the_part_and_the_whole(explained: Explanation) -> None:
    part, whole = np.asarray(explained.overlay()), np.asarray(explained.overlay(whole=True))
    left, top, right, bottom = explained.views[0].box
    assert explained.pictures[0].size == explained.overlay().size == (right - left, bottom - top)
    assert (whole[top + 2 : bottom - 2, left + 2 : right - 2] == part[2:-2, 2:-2]).all()
    assert Image.fromarray(whole).size == PICTURE.size
