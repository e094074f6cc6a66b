"""Models of open_clip, against what open_clip itself makes of pictures and texts."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from safetensors.torch import save_file
from torchvision.transforms.functional import to_pil_image

from vitreous import ExplainError, explain, load
from vitreous.errors import MissingExtra, ModelError, UnknownName

PROMPTS = ("a cat", "a dog on grass", "nothing")
TEXT = {"context_length": 12, "width": 16, "heads": 2, "layers": 1}
OWN = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "head_width": 16, "layers": 3},
    "text_cfg": TEXT,
}
TIMM = {
    "embed_dim": 16,
    "custom_text": True,
    "init_logit_bias": -10,
    "vision_cfg": {"image_size": 160, "timm_model_name": "test_vit", "timm_pool": "token"},
    "text_cfg": TEXT,
}
PREPROCESS = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4], "interpolation": "bilinear", "resize_mode": "squash"}


@pytest.fixture(params=[OWN, TIMM], ids=["own tower", "tower of timm"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A model as open_clip pushes it to the hub."""
    (tmp_path / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": request.param, "preprocess_cfg": PREPROCESS})
    )
    torch.save(built(request.param).state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    return tmp_path


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of `tiny`, which open_clip knows, and which was trained with QuickGELU."""
    file = tmp_path / "tiny.safetensors"
    save_file(built(OWN).state_dict(), file)
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", OWN)
    published = PREPROCESS | {"resize_mode": "shortest", "interpolation": "bicubic"}
    monkeypatch.setitem(
        open_clip.pretrained._PRETRAINED, "tiny", {"mine": {"file": str(file), "quick_gelu": True, **published}}
    )
    return file


def built(config: dict[str, Any]) -> Any:
    settings = {key: value for key, value in config.items() if key != "custom_text"}
    torch.manual_seed(0)
    return (open_clip.CustomTextCLIP if "custom_text" in config else open_clip.CLIP)(**settings)


def expected_logits(model: Any, images: torch.Tensor) -> torch.Tensor:
    tokens = open_clip.SimpleTokenizer(context_length=12)(list(PROMPTS))
    with torch.no_grad():
        return model.eval().get_logits(images, tokens)[0]


def picture(width: int = 50, height: int = 40) -> Image.Image:
    return to_pil_image(torch.rand(3, height, width, generator=torch.Generator().manual_seed(0)))


def test_logits_are_those_of_the_model_itself(folder: Path) -> None:
    loaded = load(f"open_clip:{folder}", prompts=PROMPTS)
    whole = open_clip.create_model(f"local-dir:{folder}")
    images = torch.randn(2, 3, *whole.visual.image_size)
    torch.testing.assert_close(loaded.model(images), expected_logits(whole, images))
    assert loaded.class_names == PROMPTS


@pytest.mark.parametrize("method", ["ag_cam", "rollout", "transformer_attribution", "attn_lrp", "grad_cam"])
def test_a_prompt_is_a_target(folder: Path, method: str) -> None:
    loaded = load(f"open_clip:{folder}", prompts=PROMPTS)
    explanation = explain(loaded, picture(), method, target="a dog on grass")
    assert explanation.target.tolist() == [1]
    side = 10 if "test_vit" in (folder / "open_clip_config.json").read_text() else 4
    assert explanation.heatmap.shape == (1, side, side)


def test_published_weights_keep_the_activation_that_they_were_trained_with(weights: Path) -> None:
    images = torch.randn(2, 3, 32, 32)
    quick = expected_logits(built(OWN | {"quick_gelu": True}), images)
    assert not torch.allclose(quick, expected_logits(built(OWN), images), atol=1e-3)
    for spec in ("open_clip:tiny/mine", f"open_clip:tiny/mine@{weights}"):
        loaded = load(spec, prompts=PROMPTS)
        torch.testing.assert_close(loaded.model(images), quick)
        assert loaded.preprocess is not None
        assert loaded.preprocess.mean == tuple(PREPROCESS["mean"])


def test_a_checkpoint_of_a_training_run(weights: Path, tmp_path: Path) -> None:
    state = {f"module.{name}": value for name, value in built(OWN).state_dict().items()}
    torch.save({"epoch": 3, "name": "run", "state_dict": state}, tmp_path / "epoch_3.pt")
    images = torch.randn(2, 3, 32, 32)
    expected = expected_logits(built(OWN), images)
    for spec, checkpoint in ((f"open_clip:tiny@{tmp_path / 'epoch_3.pt'}", None), ("open_clip:tiny", weights)):
        torch.testing.assert_close(load(spec, checkpoint=checkpoint, prompts=PROMPTS).model(images), expected)


@pytest.mark.parametrize("size", [(50, 40), (40, 71), (33, 33)])
@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
def test_pictures_are_prepared_as_open_clip_does(weights: Path, mode: str, size: tuple[int, int]) -> None:
    config = PREPROCESS | {"resize_mode": mode, "interpolation": "bicubic"}
    open_clip.pretrained._PRETRAINED["tiny"]["mine"]["resize_mode"] = mode
    preprocess = load("open_clip:tiny/mine", prompts=PROMPTS).preprocess
    if mode == "longest":  # pads with a color that ours cannot
        assert preprocess is None
        return
    theirs = image_transform_v2(PreprocessCfg(size=32, **config), is_train=False)
    assert preprocess is not None
    torch.testing.assert_close(preprocess(picture(*size)), theirs(picture(*size)))


REFUSED: dict[str, tuple[type[ExplainError], str]] = {
    "open_clip:ViT-B-61/openai": (UnknownName, 'no open_clip model named "ViT-B-61". Did you mean "ViT-B-16"?'),
    "open_clip:tiny/yours": (UnknownName, 'no weights of open_clip\'s tiny named "yours". Known: mine.'),
    "open_clip:tiny": (
        ModelError,
        '`open_clip:tiny` names no weights. Give "open_clip:tiny@FILE", or "open_clip:tiny/mine".',
    ),
    "open_clip:tiny@nowhere.pt": (ModelError, "there is no file `nowhere.pt`. Check the path of the checkpoint."),
    "open_clip:nowhere/at/all": (UnknownName, 'no open_clip model named "nowhere". Known: '),
}


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("spec", REFUSED)
def test_specs_that_name_nothing(spec: str) -> None:
    error, message = REFUSED[spec]
    with pytest.raises(error, match=re.escape(message)):
        load(spec, prompts=PROMPTS)


def test_weights_that_do_not_fit(weights: Path) -> None:
    state = built(OWN | {"vision_cfg": {**OWN["vision_cfg"], "image_size": 64}}).state_dict()
    save_file(state, weights)
    message = (
        r"does not fit `open_clip:tiny`: visual.positional_embedding is \(65, 32\), not \(17, 32\)\. Give weights of"
    )
    with pytest.raises(ModelError, match=message):
        load(f"open_clip:tiny@{weights}", prompts=PROMPTS)
    weights.write_text("oops")
    with pytest.raises(ModelError, match=r"`open_clip:tiny/mine` cannot be loaded: .* Give NAME/TAG of"):
        load("open_clip:tiny/mine", prompts=PROMPTS)


def test_folders_that_hold_no_model(folder: Path) -> None:
    (folder / "open_clip_pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match=r"cannot be loaded: Required pretrained weights .* could not be loaded"):
        load(f"open_clip:{folder}", prompts=PROMPTS)
    (folder / "open_clip_config.json").unlink()
    with pytest.raises(ModelError, match=r"cannot be loaded: 'local-dir:' specified, but config file missing"):
        load(f"open_clip:{folder}", prompts=PROMPTS)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("spec", ["open_clip:ViT-B-32/laion2b_s34b_b79k", "open_clip:hf-hub:nobody/nothing"])
def test_weights_out_of_reach_are_refused_at_once(spec: str) -> None:
    with pytest.raises(ModelError, match=f"the weights of `{spec}` are not on this machine and cannot be downloaded"):
        load(spec, prompts=PROMPTS)


def test_without_prompts_there_are_no_classes(weights: Path) -> None:
    for spec in ("open_clip:tiny/mine", f"open_clip:tiny@{weights}"):
        with pytest.raises(ModelError, match=r"are texts, and there are none\. Give prompts: vitreous explain"):
            load(spec)


def test_open_clip_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(MissingExtra, match=r"needs `open_clip_torch`, .* pip install 'vitreous\[clip\]'"):
        load("open_clip:ViT-B-32/openai", prompts=PROMPTS)
