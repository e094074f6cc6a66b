"""Class scores that are NaN or infinite are explained by no method: each says so."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests.contract.zoo import CASES
from vitreous import explain
from vitreous.errors import NotFinite
from vitreous.explaining.pictures import PictureJob, explain_pictures
from vitreous.methods import METHODS, make_method
from vitreous.models.zoo import LoadedModel, load


class DarkFails(nn.Module):
    """A model whose scores of dark images are NaN."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        logits = self.model(images)
        return torch.where((images.mean((1, 2, 3)) < -0.5)[:, None], torch.full_like(logits, torch.nan), logits)


@pytest.mark.parametrize(("name", "value"), [*((name, math.nan) for name in METHODS), ("ag_cam", math.inf)])
def test_no_method_explains_them(name: str, value: float) -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    nn.init.constant_(model.head.bias, value)
    with pytest.raises(NotFinite, match=r"gave NaN or infinite class scores for \d+ of \d+ images"):
        explain(model, images, make_method(name))


def test_one_picture_without_scores_does_not_stop_the_others(tmp_path: Path, model_folder: Path) -> None:
    loaded = load(model_folder)
    spoiled = LoadedModel(DarkFails(loaded.model), loaded.preprocess, loaded.class_names, "spoiled")
    ramp = Image.linear_gradient("L").convert("RGB").resize((50, 50))
    files = [tmp_path / f"{name}.png" for name in ("light", "dark", "bright")]
    for file in files:
        (Image.new("RGB", (50, 50)) if file.stem == "dark" else ramp).save(file)
    order = PictureJob(spoiled, {"rollout": make_method("rollout")}, output=tmp_path / "out")
    results = list(explain_pictures(order, files))
    assert [bool(result.sheet) for result in results] == [True, False, True]
    assert "NaN or infinite class scores for 1 of 1 images" in results[1].error
    text = (tmp_path / "out" / "manifest.json").read_text(encoding="utf-8")
    assert json.loads(text, parse_constant=pytest.fail)["pictures"][1]["sheet"] is None
