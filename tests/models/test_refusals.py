"""What cannot be loaded says why, and what to do; without a network, at once."""

from __future__ import annotations

import json
import re
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import huggingface_hub.constants
import pytest
import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn

import vitreous.models.network
import vitreous.models.zoo
from tests.models.conftest import hf_config
from vitreous.errors import ExplainError, MissingExtra, ModelError, UnknownName
from vitreous.models.network import hub_is_reachable
from vitreous.models.zoo import load

REFUSED: dict[str, tuple[type[ExplainError], str]] = {
    "timm:test_vitt": (UnknownName, 'no timm model named "test_vitt". Did you mean "test_vit'),
    "timm:deit_base": (UnknownName, 'Did you mean "deit_base_patch16_224"? Known: deit_base_patch16_224, deit_base_'),
    "timm:dinov2": (UnknownName, 'Did you mean "vit_base_patch14_dinov2"? Known: vit_base_patch14_dinov2, vit_giant_'),
    "defualt": (ModelError, '"hf:defualt". Did you mean default?'),
    "vit_tny_patch16_224": (ModelError, "Did you mean timm:vit_tiny_patch16_224 or timm:"),
    "no/vit_tiny_patch16_224": (ModelError, 'or "hf:no/vit_tiny_patch16_224".'),
    "timm:test_vit.r1": (UnknownName, "Known: test_vit, test_vit.r160_in1k."),
    "torchvision:vit_b_17": (UnknownName, 'no torchvision model named "vit_b_17". Did you mean "vit_b_16"?'),
    "torchvision:fasterrcnn_resnet50_fpn": (UnknownName, "no torchvision model named"),
    "tim:vit": (
        UnknownName,
        'no model source named "tim". Did you mean "timm"? Known: timm, torchvision, hf, open_clip.',
    ),
    "timm:test_vit@nowhere.pth": (ModelError, "there is no file `nowhere.pth`. Check the path"),
    "vit_b_16": (
        ModelError,
        'there is no file or folder `vit_b_16`. Give an existing path, "default" or "pneumonia", or name a source: ',
    ),
}


@pytest.mark.parametrize("spec", REFUSED)
def test_specs_that_name_nothing(spec: str) -> None:
    error, message = REFUSED[spec]
    with pytest.raises(error, match=re.escape(message)):
        load(spec)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    "spec", ["timm:test_vit", "timm:hf-hub:nobody/nothing", "torchvision:vit_b_16", "hf:nobody/nothing"]
)
def test_weights_out_of_reach_are_refused_at_once(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.models.vision_transformer, "VisionTransformer", lambda **_: nn.Identity())
    with pytest.raises(ModelError) as caught:
        load(spec)
    assert str(caught.value).startswith(
        f"the weights of `{spec}` are not on this machine and cannot be downloaded. Con"
    )


def test_a_model_without_published_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def create(*_: object, **__: object) -> None:
        raise RuntimeError("No pretrained weights exist for this model. Use `pretrained=False` for random init.")

    monkeypatch.setattr(timm, "create_model", create)
    with pytest.raises(
        ModelError, match=r"cannot be loaded: No pretrained weights exist for this model\. Choose one of"
    ):
        load("timm:vit_small_patch16_36x1_224")


def test_weights_of_another_architecture(vit_file: Path) -> None:
    with pytest.raises(
        ModelError, match=r"does not fit `timm:test_vit2`: .* Give the settings that it was trained with"
    ):
        load(f"timm:test_vit2@{vit_file}")
    state = load_file(vit_file)
    state["pos_embed"] = torch.zeros(1, 29, 64)  # on no square: never interpolated behind one's back
    save_file(state, vit_file)
    with pytest.raises(
        ModelError, match=r"does not fit `timm:test_vit`: pos_embed is \(1, 29, 64\), not \(1, 101, 64\)"
    ):
        load(f"timm:test_vit@{vit_file}")


def test_weights_alone(vit_file: Path, card_folder: Path) -> None:
    with pytest.raises(ModelError, match=r'holds weights only\. Name their architecture: "timm:NAME@/'):
        load(vit_file)
    with pytest.raises(ModelError, match=r"has neither model\.json nor config\.json\. Give a folder that holds a"):
        load(card_folder.parent)


def test_a_checkpoint_where_none_belongs(vit_file: Path, card_folder: Path) -> None:
    for spec, message in (
        (card_folder, "takes no checkpoint"),
        (f"hf:{card_folder}", "takes no checkpoint"),
        (f"timm:test_vit@{vit_file}", "names a checkpoint, and so does `checkpoint`"),
        ("default", "`default` takes no checkpoint"),
    ):
        with pytest.raises(ModelError, match=message):
            load(spec, checkpoint=vit_file)


def test_damaged_folders(card_folder: Path, hf_folder: Path, tmp_path: Path) -> None:
    values = json.loads((card_folder / "model.json").read_text())
    (card_folder / "model.json").write_text(json.dumps(values | {"architecture": "vit_tny"}))
    with pytest.raises(UnknownName, match=r'no architecture named "vit_tny"'):
        load(card_folder)
    (card_folder / "model.json").write_text(json.dumps(values | {"class_names": ["cat"]}))
    with pytest.raises(ModelError, match=r"does not fit `vit_tiny_patch16_224`: head\.bias is \(2,\), not \(1,\)"):
        load(card_folder)
    (tmp_path / "config.json").write_text("{oops")
    with pytest.raises(ModelError, match="is not JSON"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot be loaded: Unrecognized model"):
        load(tmp_path)
    (tmp_path / "config.json").write_text((hf_folder / "config.json").read_text())
    with pytest.raises(ModelError, match="cannot be loaded: Error no file named"):
        load(tmp_path)
    (tmp_path / "model.safetensors").write_text("oops")
    with pytest.raises(ModelError, match="cannot be loaded: "):
        load(tmp_path)


def test_a_transformer_without_a_trained_head(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import transformers

    transformers.ViTModel(hf_config()).save_pretrained(tmp_path)
    capfd.readouterr()
    with pytest.raises(ModelError, match=r"has no trained values for classifier\.bias, classifier\.weight"):
        load(tmp_path)
    assert capfd.readouterr().err == ""  # its report stays away


def test_transformers_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"pip install 'vitreous\[hf\]'"):
        load("hf:nobody/nothing")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "gpu"}, 'device "gpu" cannot be used: .* Use "cpu".'),
        ({"device": "meta"}, 'device "meta" cannot be used: .* Use "cpu".'),
        ({"device": "cuda:99"}, 'device "cuda:99" cannot be used: .* Use "cpu".'),
        ({"dtype": torch.int8}, "`dtype` must be float32, float64, bfloat16 or float16; got torch.int8."),
    ],
)
def test_devices_and_types_that_do_not_work(card_folder: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        load(card_folder, **settings)


def raising(error: Exception) -> Callable[..., None]:
    def urlopen(*_: object, **__: object) -> None:
        raise error

    return urlopen


@pytest.mark.parametrize(
    ("error", "reachable"),
    [
        (HTTPError("", 403, "Forbidden", None, None), True),  # type: ignore[arg-type]
        (URLError(ssl.SSLError("self-signed certificate")), True),
        (URLError(socket.gaierror(-2, "Name or service not known")), False),
        (URLError(ConnectionRefusedError()), False),
        (TimeoutError(), False),
    ],
    ids=["answers", "other certificates", "no such host", "refused", "slow"],
)
def test_whether_the_hub_is_reachable(error: Exception, reachable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(vitreous.models.network, "urlopen", raising(error))
    assert hub_is_reachable() is reachable


def test_offline_mode_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(vitreous.models.network, "urlopen", raising(AssertionError("asked")))
    assert not hub_is_reachable()
