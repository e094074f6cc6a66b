"""Maps for other programs, read back by other libraries."""

from __future__ import annotations

import base64
import csv
import json
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from pycocotools.coco import COCO

import vitreous
from tests.contract.zoo import CASES
from tests.tiny import noise
from vitreous import Explanation, Preprocess, explain, report
from vitreous.errors import DataError, ShapeError
from vitreous.methods import make_method
from vitreous.models.zoo import LoadedModel

CROPPED = Preprocess((32, 32), (36, 36))
SVG = {"": "http://www.w3.org/2000/svg"}


@pytest.fixture(scope="module")
def explained() -> Explanation:
    """Of two pictures, of which the model saw a part."""
    return vitreous.explain(CASES["timm_vit"].model(), [noise(1, (90, 60)), noise(2, (60, 90))], preprocess=CROPPED)


def test_tiff_has_the_raw_numbers(explained: Explanation, tmp_path: Path) -> None:
    explained.export(tmp_path / "a.tiff", 1)
    read = tifffile.imread(tmp_path / "a.tiff")
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, explained.at_picture_size(1).numpy())
    assert np.isnan(read).any()
    with tifffile.TiffFile(tmp_path / "a.tiff") as file:
        assert "AG-CAM" in file.pages.first.tags["ImageDescription"].value


def test_png_is_the_overlay(explained: Explanation, tmp_path: Path) -> None:
    explained.export(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as read:
        np.testing.assert_array_equal(np.asarray(read), np.asarray(explained.overlay(whole=True)))


def test_csv_has_every_patch_with_its_place(explained: Explanation, tmp_path: Path) -> None:
    explained.export(tmp_path / "a.csv", 1)
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    heatmap = explained.heatmap[1]
    assert [float(row["value"]) for row in rows] == heatmap.flatten().tolist()
    assert (rows[-1]["row"], rows[-1]["column"]) == tuple(str(each - 1) for each in heatmap.shape)
    left, top, right, bottom = explained.views[1].box
    assert (float(rows[0]["left"]), float(rows[0]["top"])) == (left, top)
    assert (float(rows[-1]["right"]), float(rows[-1]["bottom"])) == (right, bottom)


@pytest.mark.parametrize("name", ["ag_cam", "attn_lrp", "mgrw"])
def test_svg_has_picture_map_and_scale(explained: Explanation, name: str, tmp_path: Path) -> None:
    explained = replace(explained, method=make_method(name), class_names=("<cat> & co",) * 7)
    explained.export(tmp_path / "a.svg")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert "<cat> & co" in root.findtext("title", "", SVG)
    layers = {}
    for each in root.findall("image", SVG):
        data = each.attrib["{http://www.w3.org/1999/xlink}href"].partition("base64,")[2]
        layers[each.attrib["id"]] = Image.open(BytesIO(base64.b64decode(data)))
    assert layers["picture"].size == layers["map"].size == (90, 60)
    assert layers["map"].mode == "RGBA"
    seen = root.find("rect", SVG)
    assert seen is not None
    left, top, right, bottom = explained.views[0].box
    frame = [int(seen.attrib[name]) for name in ("x", "y", "width", "height")]
    assert frame == [left, top, right - left, bottom - top]
    drawn = explained.views[0].whole.copy()
    drawn.paste(layers["map"], mask=layers["map"])
    box = explained.views[0].box
    apart = np.asarray(drawn.crop(box)).astype(int) - np.asarray(explained.overlay()).astype(int)
    assert abs(apart).max() <= 1
    assert not np.asarray(layers["map"])[:, : box[0], 3].any(), "clear where the model saw nothing"
    assert len([*root.iter("{http://www.w3.org/2000/svg}text")]) == (3 if name == "attn_lrp" else 2)


def test_coco_has_boxes_and_masks(explained: Explanation, tmp_path: Path) -> None:
    explained.export(tmp_path / "a.json", threshold=0.4)
    read: Any = COCO(tmp_path / "a.json")
    assert [each["width"] for each in read.loadImgs([1, 2])] == [90, 60]
    for at in range(2):
        annotations = read.loadAnns(read.getAnnIds(imgIds=[at + 1]))
        boxes = [(x, y, x + w, y + h) for x, y, w, h in (each["bbox"] for each in annotations)]
        assert boxes == explained.boxes(0.4, at)
        masks = np.stack([read.annToMask(each) for each in annotations])
        np.testing.assert_array_equal(masks.sum(0), explained.mask(0.4, at).numpy())
        assert [each["area"] for each in annotations] == masks.sum((1, 2)).tolist()
        scores = [each["score"] for each in annotations]
        assert scores == sorted(scores, reverse=True)
        assert scores[0] == pytest.approx(1, abs=0.2)  # between patches a map is a little weaker
        assert all(0.4 <= each <= 1 for each in scores)
        (category,) = {each["category_id"] for each in annotations}
        assert explained.target is not None
        assert category == explained.target[at] + 1
        assert read.loadCats(category)[0]["name"] == explained.class_name(category - 1)


def test_what_cannot_be_exported_is_told(explained: Explanation, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=re.escape("names no format. Let it end in .png, .svg, .tiff, .tif, .csv, .json")
    ):
        explained.export(tmp_path / "a.bmp")
    with pytest.raises(ShapeError, match="there is one picture for 2 images"):
        explained.export(tmp_path / "a.json", picture=noise(1))
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    tensors = vitreous.explain(model, images)
    for name in ("a.tiff", "a.csv", "a.json"):
        tensors.export(tmp_path / name)
    assert tifffile.imread(tmp_path / "a.tiff").shape == images.shape[2:]
    for name in ("b.png", "b.svg"):
        with pytest.raises(ShapeError, match="was made from tensors"):
            tensors.export(tmp_path / name)
    assert not [*tmp_path.glob("b.*")]


def test_a_loaded_map_is_exported_alike(explained: Explanation, tmp_path: Path) -> None:
    explained.save(tmp_path / "a.npz")
    back = Explanation.load(tmp_path / "a.npz")
    assert torch.equal(back.heatmap, explained.heatmap)
    for name in ("a.csv", "a.tiff"):
        explained.export(tmp_path / name, 1)
        back.export(tmp_path / f"back.{name}", 1)
        assert (tmp_path / name).read_bytes() == (tmp_path / f"back.{name}").read_bytes()
    back.export(tmp_path / "a.json")
    assert len(json.loads((tmp_path / "a.json").read_text())["images"]) == 2


def test_a_class_against_another_is_told_wherever_a_map_goes(model: LoadedModel, tmp_path: Path) -> None:
    one = explain(model, noise(2, (96, 64)), "ag_cam", target=1, against=2)
    words = " rather than ".join(model.class_names[at] for at in (1, 2))
    assert words in repr(one)
    one.save(tmp_path / "one.npz")
    read = Explanation.load(tmp_path / "one.npz")
    assert (read.against, read.rival()) == (one.against, model.class_names[2]) == ((2,), one.rival())
    other = explain(model, noise(2, (96, 64)), "ag_cam", target=1)
    assert (other.against, other.rival()) == ((), "")
    page = report([one, other], tmp_path / "report.html").read_text(encoding="utf-8")
    assert {f'<span class="class">{each} · ' in page for each in (words, model.class_names[1])} == {True}
