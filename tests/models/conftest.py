"""Tiny models on disk."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any
from urllib.error import URLError

import huggingface_hub.constants
import pytest
import timm
from safetensors.torch import save_file
from torch import nn

import vitreous.models.network
from vitreous.models.card import ModelCard
from vitreous.models.preprocess import Preprocess

TINY = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2}


@pytest.fixture(scope="package")
def vit() -> nn.Module:
    """timm's smallest transformer, with seven classes."""
    return timm.create_model("test_vit", num_classes=7).eval()


@pytest.fixture
def vit_file(vit: nn.Module, tmp_path: Path) -> Path:
    save_file(vit.state_dict(), tmp_path / "vit.safetensors")
    return tmp_path / "vit.safetensors"


@pytest.fixture
def card_folder(tmp_path: Path) -> Path:
    card = ModelCard("vit_tiny_patch16_224", TINY, ("cat", "dog"), Preprocess((32, 32), (36, 36)))
    card.save(tmp_path / "card", card.build().state_dict())
    return tmp_path / "card"


@pytest.fixture(scope="package")
def hf_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import transformers

    folder = tmp_path_factory.mktemp("hf")
    model = transformers.ViTForImageClassification(hf_config(id2label={0: "cat", 1: "dog"}))
    model.save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def hf_config(**settings: Any) -> Any:
    import transformers

    layers = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    return transformers.ViTConfig(**layers, image_size=32, patch_size=8, **settings)


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty caches and no network, wherever the tests run."""

    def fail(*_: object, **__: object) -> None:
        raise URLError(socket.gaierror(-2, "Name or service not known"))

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("torch.hub.urlopen", fail)
    monkeypatch.setattr(vitreous.models.network, "urlopen", fail)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
