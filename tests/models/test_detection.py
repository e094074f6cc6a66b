"""Mask R-CNN on pyramids: sizes, shapes, weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from vitreous.errors import ModelError
from vitreous.models.card import ModelCard
from vitreous.models.detection.card import DetectorCard, input_statistics, load_detector
from vitreous.models.detection.detect import BoxScores, hits
from vitreous.models.detection.pyramid import Pyramid
from vitreous.models.preprocess import Preprocess
from vitreous.models.registry import registry

SWIN = "swin_tiny_patch4_window7_224"
TINY = {"embed_dim": 16, "depths": [1, 1, 1, 1]}


def card(architecture: str, classes: int = 2, width: int = 16, **arguments: Any) -> DetectorCard:
    names = tuple(map(str, range(classes)))
    return DetectorCard(architecture, arguments, names, True, width, 512, (64,), 96, (0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize(
    ("architecture", "millions", "arguments"),
    [
        ("salg_st", 26, {}),
        ("salg_t", 52, {}),
        ("salg_s", 73, {}),
        (SWIN, 48, {"strict_img_size": False}),
        ("resnet50", 44, {}),
    ],
)
def test_parameters_are_those_of_table_2(architecture: str, millions: int, arguments: dict[str, Any]) -> None:
    with torch.random.fork_rng():
        model = card(architecture, 80, 256, **arguments).build()
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6) == millions


@pytest.mark.parametrize(
    ("architecture", "dim", "arguments"),
    [("salg_st", 16, TINY), (SWIN, 24, {"strict_img_size": False, "embed_dim": 24, "depths": [1, 1, 1, 1]})],
)
@pytest.mark.parametrize("size", [(64, 96), (96, 160), (128, 32)])  # windows of 7 tile none of these maps
def test_strides_and_channels(architecture: str, dim: int, arguments: dict[str, Any], size: tuple[int, int]) -> None:
    pyramid: Any = card(architecture, **arguments).build().backbone
    assert (pyramid.strides, pyramid.channels) == ([4, 8, 16, 32], [dim, 2 * dim, 4 * dim, 8 * dim])
    maps = pyramid.eval()(torch.rand(2, 3, *size))
    shapes = [tuple(each.shape) for each in maps.values()]
    sides = [(size[0] // stride, size[1] // stride) for stride in (4, 8, 16, 32)]
    half = tuple((side + 1) // 2 for side in sides[-1])
    assert shapes == [(2, 16, *each) for each in (*sides, half)]
    assert list(maps) == ["0", "1", "2", "3", "pool"]


def test_a_cnn_starts_at_stride_4() -> None:
    pyramid: Any = card("test_resnet").build().backbone
    assert pyramid.strides == [4, 8, 16, 32]


def test_padding_is_the_pyramids_own_affair() -> None:
    """Windows do not tile 24 × 40 places: SALG keeps the padding out of attention, or lets it take part."""
    image = torch.rand(1, 3, 96, 160)
    stages = []
    for mask_pad in (True, False):
        torch.manual_seed(0)
        detector = card("salg_st", **TINY, mask_pad=mask_pad).build().eval()
        torch.manual_seed(0)
        alone = registry().create_model("salg_st", num_classes=0, **TINY, mask_pad=mask_pad).eval()
        stages.append(detector.backbone.stages(image))
        wanted = [maps.permute(0, 3, 1, 2) for maps, _ in alone.forward_stages(image)]
        for given, maps in zip(stages[-1], wanted, strict=True):
            torch.testing.assert_close(given, maps)
    assert not torch.allclose(stages[0][0], stages[1][0])


def test_every_parameter_learns() -> None:
    model = card("salg_st", **TINY).build()
    target = {
        "boxes": torch.tensor([[10.0, 10.0, 50.0, 50.0]]),
        "labels": torch.tensor([1]),
        "masks": torch.ones(1, 64, 96, dtype=torch.uint8),
    }
    losses: Any = model([torch.rand(3, 64, 96)], [target])
    sum(losses.values()).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_a_classifier_gives_its_trunk(tmp_path: Path) -> None:
    wanted = ModelCard("salg_st", TINY, ("a", "b", "c"), Preprocess((32, 32), (32, 32), mean=(0.1, 0.2, 0.3)))
    classifier = wanted.build().eval()
    wanted.save(tmp_path / "folder", classifier.state_dict())
    torch.save({"state_dict": classifier.state_dict()}, tmp_path / "file.pth")
    image = torch.rand(1, 3, 64, 64)
    for backbone in (tmp_path / "folder", tmp_path / "file.pth"):
        detector: Any = card("salg_st", **TINY).build(backbone=backbone).eval()
        *_, last = classifier.forward_stages(image)
        torch.testing.assert_close(detector.backbone.stages(image)[-1], last[0].permute(0, 3, 1, 2))
    assert input_statistics("salg_st", tmp_path / "folder")[0] == (0.1, 0.2, 0.3)
    assert input_statistics("salg_st", tmp_path / "file.pth")[0] == (0.485, 0.456, 0.406)
    with pytest.raises(ModelError, match="does not fit `salg_st`"):
        card("salg_st", embed_dim=24, depths=[1, 1, 1, 1]).build(backbone=tmp_path / "folder")


def test_a_folder_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = card("salg_st", **TINY)
    model = written.build().eval()
    written.save(tmp_path, model.state_dict())
    read, again = load_detector(tmp_path)
    assert again == written
    image = torch.rand(3, 50, 70)
    with torch.no_grad():
        a, b = model([image])[0], read([image])[0]
    assert all(torch.equal(a[name], b[name]) for name in a)
    (tmp_path / "model.json").write_text('{"architecture": "salg_st"}')
    with pytest.raises(ModelError, match="is not a card of `vitreous detect train`"):
        load_detector(tmp_path)


def test_what_is_no_pyramid() -> None:
    with pytest.raises(ModelError, match="has no maps of several strides"):
        Pyramid(timm.create_model("vit_tiny_patch16_224", depth=1))
    with pytest.raises(ModelError, match=r"does not take pictures of every size: Input height .* strict_img_size"):
        Pyramid(timm.create_model(SWIN, embed_dim=24, depths=(1, 1, 1, 1)))


def test_the_scores_of_a_box_are_those_of_the_detectors_head() -> None:
    detector = card("salg_st", **TINY).build().eval()
    images, box = torch.rand(1, 3, 64, 96), torch.tensor([10.0, 12.0, 40.0, 50.0])
    heads: Any = detector.roi_heads
    read = heads.box_roi_pool(detector.backbone(images), [box[None]], [(64, 96)])
    torch.testing.assert_close(BoxScores(detector, box)(images), heads.box_predictor(heads.box_head(read))[0])


@pytest.mark.parametrize("side", [20, 111, 113, 223, 225, 447, 449, 2000])
def test_a_box_is_read_from_the_level_of_its_size(side: int) -> None:
    """k = ⌊4 + log2(√(w·h) / 224)⌋ (Lin et al., eq. 1), between 2 and 5; here counted from 0."""
    detector = card("salg_st", **TINY).build().eval()
    heads: Any = detector.roi_heads
    heads.box_roi_pool(detector.backbone(torch.rand(1, 3, 64, 96)), [torch.zeros(1, 4)], [(64, 96)])
    wanted = min(max(math.floor(4 + math.log2(side / 224)), 2), 5) - 2
    layer = BoxScores(detector, torch.tensor([0.0, 0.0, side, side])).layer
    assert layer == f"pyramid.fpn.layer_blocks.{wanted}"


def test_boxes_are_right_once_each() -> None:
    found = torch.tensor([[0.0, 0, 10, 10], [1, 0, 10, 10], [20, 20, 30, 30], [0, 0, 30, 30]])
    given = torch.tensor([[21.0, 20, 30, 30], [0, 0, 10, 10]])
    assert hits(found, given) == [True, False, True, False]
    assert hits(found, given[:0]) == [False] * 4
    assert hits(found[:2], given, least=0.95) == [True, False]
