"""Checkpoints of any training script."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision import models

from vitreous.errors import ModelError
from vitreous.models.checkpoint import count_classes, load_strictly, read_state

STATE = {"body.weight": torch.arange(6.0).reshape(2, 3), "head.weight": torch.ones(5, 2), "head.bias": torch.zeros(5)}


def prefixed(prefix: str, state: dict[str, Tensor] = STATE) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}


OTHER = {name: value + 1 for name, value in STATE.items()}

WRAPPED: dict[str, Callable[[], Any]] = {
    "plain": lambda: STATE,
    "timm": lambda: {"epoch": 3, "arch": "vit", "state_dict": OTHER, "state_dict_ema": STATE, "args": Namespace(lr=1)},
    "torchvision": lambda: {
        "model": prefixed("module.", OTHER),
        "model_ema": {"n_averaged": torch.tensor(3)} | prefixed("module."),
    },
    "lightning": lambda: {"state_dict": prefixed("model."), "hyper_parameters": {"lr": 1e-3}},
    "deit": lambda: {"model": STATE, "optimizer": {"state": {}}},
    "compiled, distributed": lambda: prefixed("module._orig_mod."),
    "distributed, compiled": lambda: {"state_dict": prefixed("_orig_mod.module.")},
}


@pytest.mark.parametrize("case", WRAPPED)
def test_what_scripts_wrap_around_weights_is_taken_off(case: str, tmp_path: Path) -> None:
    path = tmp_path / "last.pth"
    torch.save(WRAPPED[case](), path)
    state = read_state(path)
    assert sorted(state) == sorted(STATE)
    assert all(torch.equal(state[name], STATE[name]) for name in STATE)


def test_safetensors(tmp_path: Path) -> None:
    save_file(prefixed("module."), tmp_path / "model.safetensors")
    assert sorted(read_state(tmp_path / "model.safetensors")) == sorted(STATE)


UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "code.pth": (
        lambda path: torch.save(nn.Linear(2, 2), path),
        "is not opened: it is damaged, or holds Python objects",
    ),
    "list.pth": (lambda path: torch.save([1, 2], path), "holds no state dict. Save one with torch.save("),
    "empty.pth": (lambda path: torch.save({}, path), "holds no state dict."),
    "text.pt": (lambda path: path.write_text("weights"), "is not opened: it is damaged, or holds Python objects"),
    "zero.pth": (lambda path: path.touch(), "is damaged, or holds"),
    "text.safetensors": (lambda path: path.write_text("weights"), "cannot be read: "),
    "absent.pth": (lambda path: None, "Check the path of the checkpoint."),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_other_files_are_refused(name: str, tmp_path: Path) -> None:
    write, message = UNREADABLE[name]
    write(tmp_path / name)
    with pytest.raises(ModelError, match=re.escape(message)):
        read_state(tmp_path / name)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "last.pth")
    data = (tmp_path / "last.pth").read_bytes()
    (tmp_path / "last.pth").write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelError, match=r"cannot be read|is not opened"):
        read_state(tmp_path / "last.pth")


@pytest.mark.parametrize("name", ["vit_b_32", "swin_t", "maxvit_t", "resnet18", "mobilenet_v3_small", "vgg11"])
def test_the_head_tells_the_number_of_classes(name: str) -> None:
    with torch.device("meta"):
        model = models.get_model(name, weights=None, num_classes=7)
    assert count_classes(model.state_dict(), Path("x.pth")) == 7


def test_no_head(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"`x\.pth` holds no classifier head\. Give a checkpoint of a trained class"):
        count_classes({"head.norm.weight": torch.ones(3), "blocks.0.fc.weight": torch.ones(3, 3)}, Path("x.pth"))


def test_what_does_not_fit_is_named() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    state = model.state_dict()
    load_strictly(model, state, Path("x.pth"), "timm:me")
    del state["1.weight"]
    state |= {"0.bias": torch.zeros(9), **{f"extra.{index}": torch.zeros(1) for index in range(5)}}
    with pytest.raises(ModelError) as caught:
        load_strictly(model, state, Path("x.pth"), "timm:me")
    assert str(caught.value) == (
        "`x.pth` does not fit `timm:me`: missing 1.weight; unexpected extra.0, extra.1, extra.2, … (5 in all); "
        "0.bias is (9,), not (4,). Give weights of this model."
    )
