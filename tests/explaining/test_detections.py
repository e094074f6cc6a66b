"""All objects of a class on one sheet, by a detector that has learned nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor

from tests.models.test_detection import card
from tests.tiny import noise
from vitreous.errors import DataError
from vitreous.explaining import detections
from vitreous.explaining.detections import explain_class, explain_detection, write_class
from vitreous.models.detection.detect import as_image, detect
from vitreous.render.boxes import RIGHT, SHOWN, WRONG


def colors(path: Path) -> set[tuple[int, ...]]:
    with Image.open(path) as page:
        return {tuple(each) for each in np.unique(np.asarray(page.convert("RGB")).reshape(-1, 3), axis=0).tolist()}


@pytest.mark.slow
def test_all_boxes_of_a_class_and_whether_they_are_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model: Any = card("salg_st", embed_dim=16, depths=[1, 1, 1, 1]).build().eval()
    picture = noise(1, (96, 64))
    found = detect(model, as_image(picture))
    label = int(found.labels[0])
    mine = (found.labels == label).nonzero()[:, 0]
    least = float(found.scores[mine[:3]].min())
    alone = [explain_detection(model, picture, 1 + int(at)) for at in mine[:3]]
    explained = explain_class(model, picture, label, least=least, given=found.boxes[mine[:1]])
    assert torch.equal(explained.boxes, found.boxes[mine[:3]])
    assert (explained.right, explained.missed) == ((True, False, False), 0)
    expected = torch.stack([each.heatmap / each.heatmap.max() for each in alone]).amax(0)  # Grad-CAM has one side
    torch.testing.assert_close(explained.heatmap, expected)

    ours = {name: ImageColor.getrgb(color) for name, color in (("right", RIGHT), ("wrong", WRONG), ("shown", SHOWN))}
    monkeypatch.setattr(detections, "overlay", lambda picture, *_, **__: picture)  # its colors are no box's
    write_class(tmp_path / "a.png", explained, "disc")
    assert {name for name, color in ours.items() if color in colors(tmp_path / "a.png")} == {"right", "wrong"}
    told = json.loads((tmp_path / "a.json").read_text())
    assert [each["right"] for each in told["objects"]] == [True, False, False]
    assert (told["class"], told["missed"]) == ("disc", 0)
    unknown = explain_class(model, picture, label, least=least)
    assert (unknown.right, unknown.missed) == (None, None)
    write_class(tmp_path / "a.png", unknown, "disc")
    assert {name for name, color in ours.items() if color in colors(tmp_path / "a.png")} == {"shown"}
    with pytest.raises(DataError, match="its surest has 0"):
        explain_class(model, picture, label, least=1.0)
