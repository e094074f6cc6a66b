"""Folders of transformers whose processor makes another size than the model was built for."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

import vitreous
from tests.models.conftest import hf_config
from tests.tiny import noise
from vitreous.errors import ModelError
from vitreous.models.zoo import describe, load

CASES: list[tuple[dict[str, Any], tuple[int, int], tuple[int, int]]] = [
    ({"size": {"height": 40, "width": 40}}, (32, 32), (40, 40)),
    ({"size": {"height": 24, "width": 48}}, (32, 32), (24, 48)),
    ({"size": {"shortest_edge": 48}, "crop_size": {"height": 40, "width": 40}}, (38, 38), (40, 40)),
]
"""The processor's settings, what pictures are then resized to, and the size that is not taken."""


def saved(folder: Path, model: Any, **settings: Any) -> Path:
    processor = transformers.CLIPImageProcessor if "crop_size" in settings else transformers.ViTImageProcessor
    model.save_pretrained(folder)
    processor(**settings).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("settings", "resize", "size"), CASES)
def test_a_model_of_one_size_has_its_way(tmp_path: Path, settings: Any, resize: Any, size: Any) -> None:
    folder = saved(tmp_path, transformers.ViTForImageClassification(hf_config(num_labels=3)), **settings)
    height, width = size
    with pytest.warns(UserWarning, match=f"pictures of {height}×{width}, .* they are prepared as 32×32, its own size"):
        loaded = load(folder)
    assert loaded.preprocess is not None
    assert (loaded.preprocess.size, loaded.preprocess.resize) == ((32, 32), resize)
    assert vitreous.explain(loaded, noise(1), "rollout").heatmap.shape == (1, 4, 4)
    with pytest.warns(UserWarning, match="its own size"):
        described = describe(transformers.ViTForImageClassification.from_pretrained(folder))
    assert described.preprocess == loaded.preprocess


def test_a_model_of_pictures_and_texts_has_its_way(tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    vision = {**sizes, "image_size": 32, "patch_size": 8}
    model = transformers.CLIPForImageClassification(transformers.CLIPConfig(vision_config=vision, text_config=sizes))
    with pytest.warns(UserWarning, match="its own size"):
        loaded = load(saved(tmp_path, model, size={"height": 40, "width": 40}))
    assert loaded.preprocess is not None
    assert loaded.preprocess.size == (32, 32)


def test_a_model_of_any_size_is_left_alone(tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.Dinov2Config(**sizes, image_size=32, patch_size=8, num_labels=3)
    folder = saved(tmp_path, transformers.Dinov2ForImageClassification(config), size={"height": 40, "width": 40})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = load(folder)
    assert loaded.preprocess is not None
    assert loaded.preprocess.size == (40, 40)
    assert vitreous.explain(loaded, noise(1), "rollout").heatmap.shape == (1, 5, 5)


def test_pictures_of_no_one_size_are_refused_with_what_to_do(tmp_path: Path) -> None:
    model = transformers.ViTForImageClassification(hf_config(num_labels=3)).eval()
    folder = saved(
        tmp_path, model, size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}, do_center_crop=False
    )
    loaded = load(folder)
    with pytest.raises(ModelError, match=r"let preprocessor_config\.json resize and crop to one size"):
        loaded.prepared()
    for path in folder.glob("*processor*"):
        path.write_text(path.read_text().replace('"do_center_crop": false', '"do_center_crop": true'))
    assert load(folder).prepared().size == (32, 32)
    found = vitreous.explain(load(folder), noise(1), "rollout")
    with torch.no_grad():
        torch.testing.assert_close(found.logits, model(load(folder).prepared()(noise(1))[None]).logits)


def test_what_is_stored_without_a_classifier_is_told_with_what_to_do(tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    vision = {**sizes, "image_size": 32, "patch_size": 8}
    both = transformers.CLIPModel(transformers.CLIPConfig(vision_config=vision, text_config=sizes))
    for at, (model, remedy) in enumerate(
        (
            (transformers.ViTModel(hf_config()), r"or in Python explain its transformers\.ViTModel by output="),
            (both, r"or texts by --prompt \(prompts= in Python\)"),
        )
    ):
        with pytest.raises(ModelError, match=remedy):
            load(saved(tmp_path / str(at), model, size={"height": 32, "width": 32}))
