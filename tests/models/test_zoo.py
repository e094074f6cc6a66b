"""Loading by a word, offline: everything is built in a temporary folder."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.data import create_transform, resolve_model_data_config
from torch import nn

from tests.models.conftest import TINY, hf_config
from vitreous.models.loaded import LoadedModel, digest
from vitreous.models.preprocess import Preprocess
from vitreous.models.zoo import PACKAGED, describe, load

IMAGES = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(1))


def file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def same_state(model: nn.Module, other: nn.Module) -> bool:
    return digest(model.state_dict()) == digest(other.state_dict())


def test_a_model_folder(card_folder: Path) -> None:
    for spec in (card_folder, str(card_folder), card_folder / "model.safetensors"):
        loaded = load(spec)
        assert loaded.class_names == ("cat", "dog")
        assert loaded.preprocess == Preprocess((32, 32), (36, 36))
        assert loaded.name == str(spec)
        assert loaded.weights_sha256 == file_hash(card_folder / "model.safetensors")
        assert loaded.model(torch.zeros(1, 3, 32, 32)).shape == (1, 2)


def test_the_default_is_the_folder_in_the_package(card_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGED, "default", card_folder)
    assert load().class_names == ("cat", "dog")
    assert load().name == "default"


def test_a_loaded_model_is_frozen_and_in_evaluation_mode(card_folder: Path) -> None:
    model = load(card_folder).model
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_checkpoint_of_timm(vit: nn.Module, vit_file: Path, suffix: str) -> None:
    path = vit_file.with_suffix(suffix)
    if suffix == ".pth":
        torch.save({"epoch": 1, "state_dict": {f"module.{k}": v for k, v in vit.state_dict().items()}}, path)
    loaded = load(f"timm:test_vit@{path}")
    assert torch.equal(loaded.model(IMAGES), vit(IMAGES))
    assert loaded.class_names == tuple(f"class {index}" for index in range(7))
    assert loaded.weights_sha256 == file_hash(path)
    assert loaded.name == f"timm:test_vit@{path}"
    again = load("timm:test_vit", checkpoint=path)
    assert same_state(again.model, loaded.model)
    assert again.name == loaded.name


def test_a_thousand_classes_are_those_of_imagenet(tmp_path: Path) -> None:
    save_file(timm.create_model("test_vit").state_dict(), tmp_path / "x.safetensors")
    names = load(f"timm:test_vit@{tmp_path / 'x.safetensors'}").class_names
    assert names[:2] == ("tench, Tinca tinca", "goldfish, Carassius auratus")
    assert len(names) == 1000


def test_what_timm_can_convert_is_converted(vit: nn.Module, vit_file: Path) -> None:
    state = load_file(vit_file)
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"].flatten(1)  # as some authors' patch embedding
    save_file(state, vit_file)
    assert same_state(load(f"timm:test_vit@{vit_file}").model, vit)


def test_a_checkpoint_of_torchvision(tmp_path: Path) -> None:
    model = torchvision.models.get_model("shufflenet_v2_x0_5", weights=None, num_classes=3).eval()
    torch.save(model.state_dict(), tmp_path / "x.pth")
    loaded = load(f"torchvision:shufflenet_v2_x0_5@{tmp_path / 'x.pth'}")
    assert same_state(loaded.model, model)
    assert loaded.class_names == ("class 0", "class 1", "class 2")
    assert loaded.preprocess == Preprocess(
        (224, 224), (256, 256), True, "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    )


def test_pretrained_models_of_torchvision_bring_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.models, "get_model", lambda *_, **__: nn.Linear(2, 2))
    loaded = load("torchvision:vit_b_16")
    assert len(loaded.class_names) == 1000
    assert loaded.class_names[0] == "tench"
    assert loaded.weights_sha256 == digest(loaded.model.state_dict())


def test_a_folder_of_transformers(hf_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for spec in (hf_folder, f"hf:{hf_folder}"):
        loaded = load(spec)
        assert loaded.class_names == ("cat", "dog")
        assert loaded.preprocess == Preprocess((32, 32), (32, 32), False, "bilinear", floor=True)
        assert loaded.weights_sha256 == file_hash(hf_folder / "model.safetensors")
        assert loaded.name == str(spec)
        assert loaded.model(torch.zeros(1, 3, 32, 32)).logits.shape == (1, 2)
    assert capfd.readouterr().err == ""  # no progress bars


def test_a_folder_of_transformers_without_preprocessing_or_names(tmp_path: Path) -> None:
    import transformers

    transformers.ViTForImageClassification(hf_config(num_labels=3)).save_pretrained(tmp_path)
    loaded = load(tmp_path)
    assert loaded.preprocess is None
    assert loaded.class_names == ("class 0", "class 1", "class 2")


def test_a_folder_of_timm(vit: nn.Module, tmp_path: Path) -> None:
    config = {"label_names": [*"abcdefg"], "label_descriptions": {"a": "an a"}}
    timm.models.save_for_hf(vit, tmp_path, model_config=config)
    loaded = load(tmp_path)
    assert loaded.class_names == ("an a", *"bcdefg")
    assert torch.equal(loaded.model(IMAGES), vit(IMAGES))
    assert loaded.name == str(tmp_path)


def test_device_and_dtype(card_folder: Path) -> None:
    loaded = load(card_folder, device="cpu", dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in loaded.model.parameters()} == {torch.bfloat16}
    assert loaded.weights_sha256 == load(card_folder).weights_sha256


def test_a_model_of_timm_describes_itself(vit: nn.Module) -> None:
    model = deepcopy(vit).train()
    said = describe(model)
    assert said.model is model
    assert model.training
    assert said.name == "VisionTransformer"
    assert len(said.class_names) == 7
    assert said.weights_sha256 == digest(model.state_dict())
    picture = Image.effect_mandelbrot((200, 150), (-2, -1.5, 1, 1.5), 50).convert("RGB")
    assert said.preprocess
    assert torch.equal(said.preprocess(picture), create_transform(**resolve_model_data_config(model))(picture))


def test_the_size_is_that_of_the_model_not_of_its_pretraining() -> None:
    preprocess = describe(timm.create_model("vit_tiny_patch16_224", **TINY)).preprocess
    assert preprocess
    assert preprocess.size == (32, 32)
    assert preprocess.resize == (35, 35)  # its crop_pct is 0.9


def test_gray_input_and_no_classifier() -> None:
    gray = describe(timm.create_model("test_vit", in_chans=1)).preprocess
    assert gray is not None
    assert gray.mean == (0.5,)  # that of every channel
    assert describe(timm.create_model("deit_tiny_patch16_224", depth=1, in_chans=1)).preprocess is None
    model = timm.create_model("test_vit", num_classes=0)
    names = describe(model).class_names
    assert names[-1] == f"feature {model(IMAGES).shape[1] - 1}"


def test_a_model_of_transformers_describes_itself(hf_folder: Path) -> None:
    import transformers

    loaded = load(hf_folder)
    said = describe(loaded.model)
    assert (said.preprocess, said.class_names) == (loaded.preprocess, loaded.class_names)
    assert said.name == "ViTForImageClassification"
    fresh = describe(transformers.ViTForImageClassification(hf_config(num_labels=2)))
    assert fresh.preprocess is None
    assert fresh.class_names == ("class 0", "class 1")
    gray = transformers.ViTForImageClassification(hf_config(num_channels=1))
    gray.config._name_or_path = str(hf_folder)
    assert describe(gray).preprocess is None, "it prepares color pictures"


def test_of_other_models_nothing_is_known() -> None:
    model = nn.Linear(3, 2)
    assert describe(model) == LoadedModel(model, None, (), "Linear")


def test_a_digest_tells_names_types_shapes_and_values() -> None:
    state = {"a": torch.zeros(2, 3), "b": torch.tensor(1)}
    others = [
        {"a": torch.zeros(2, 3), "c": torch.tensor(1)},
        {"a": torch.zeros(3, 2), "b": torch.tensor(1)},
        {"a": torch.zeros(2, 3).bfloat16(), "b": torch.tensor(1)},
        {"a": torch.zeros(2, 3), "b": torch.tensor(2)},
    ]
    assert digest(state) == digest(dict(reversed(state.items())))
    assert digest(state) not in map(digest, others)


def test_the_medical_example_is_small_and_looks_at_chest_x_rays() -> None:
    loaded = load("pneumonia")
    assert loaded.class_names == ("normal", "pneumonia")
    assert loaded.preprocess
    assert loaded.preprocess.size == (28, 28)
    assert sum(file.stat().st_size for file in PACKAGED["pneumonia"].iterdir()) < 4e6
    assert loaded.weights_sha256 == file_hash(PACKAGED["pneumonia"] / "model.safetensors")
