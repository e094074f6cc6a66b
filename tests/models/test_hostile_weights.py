"""Weights, cards and folders from anybody: none runs code, fills the memory or ends in a traceback."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from vitreous import load
from vitreous.errors import DataError, ExplainError, ModelError
from vitreous.models.card import CARD, WEIGHTS, ModelCard
from vitreous.models.checkpoint import count_classes, read_state
from vitreous.models.detection.card import DetectorCard
from vitreous.models.preprocess import Preprocess
from vitreous.models.registry import build
from vitreous.training.checkpoint import load_checkpoint, save_checkpoint
from vitreous.training.recipe import Recipe


class Runs:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def loop() -> dict[str, Any]:
    content: dict[str, Any] = {}
    content["model"] = content
    return content


def nested(depth: int) -> dict[str, Any]:
    content: dict[str, Any] = {"head.weight": torch.zeros(2, 3)}
    for _ in range(depth):
        content = {"model": content}
    return content


STATES: dict[str, Callable[[], Any]] = {
    "an expanded head": lambda: {"head.weight": torch.zeros(1, 1).expand(10**9, 768)},
    "one number for all": lambda: {"head.weight": torch.zeros(1, 768).expand(1000, 768)},
    "a sparse head": lambda: {"head.weight": torch.zeros(2, 0).to_sparse()},
    "a head on no device": lambda: {"head.weight": torch.empty(10**6, 10**6, device="meta")},
    "nothing but a count": lambda: {"n_averaged": torch.tensor(3)},
    "a dictionary in itself": loop,
    "a deep dictionary": lambda: nested(200),
    "a list": lambda: [torch.zeros(3)],
    "words": lambda: {"head.weight": "zeros"},
    "nothing": dict,
}


@pytest.mark.parametrize("kind", STATES)
@pytest.mark.filterwarnings("ignore:Sparse")
def test_states_that_are_none(tmp_path: Path, kind: str) -> None:
    path = saved(tmp_path / "a.pth", STATES[kind]())
    assert path.stat().st_size < 2**20
    with pytest.raises(ModelError):
        read_state(path)
    with pytest.raises(ModelError):
        load("timm:test_vit", checkpoint=path)


def test_more_classes_than_anybody_tells_apart(tmp_path: Path) -> None:
    state = read_state(saved(tmp_path / "a.pth", {"head.weight": torch.zeros(100_001, 1)}))
    with pytest.raises(ModelError, match="tells 100,001 classes apart"):
        count_classes(state, tmp_path / "a.pth")
    odd = {f"head.{'9' * 5000}.weight": torch.zeros(2, 3)}
    assert count_classes(odd, tmp_path / "a.pth") == 2


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_pickle_runs_no_code(tmp_path: Path, wrapped: bool) -> None:
    ran, content = tmp_path / "ran", {"head.weight": torch.zeros(2, 3)}
    saved(tmp_path / "a.pth", {"model": content, "args": Runs(ran)} if wrapped else Runs(ran))
    with pytest.raises(ModelError, match=r"holds Python objects, which can run code\. Save model\.state_dict"):
        read_state(tmp_path / "a.pth")
    shutil.copy(tmp_path / "a.pth", tmp_path / "checkpoint.pt")
    with pytest.raises(DataError, match="holds Python objects"):
        load_checkpoint(tmp_path, Recipe("vit_tiny_patch16_224", 16, 4), torch.device("cpu"))
    assert not ran.exists()


def test_a_pickle_that_grows(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.pth", {"head.weight": torch.zeros(2**20, 20)})
    with zipfile.ZipFile(path) as old:
        members = {info.filename: old.read(info) for info in old.infolist()}
    with zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in members.items():
            new.writestr(name, content)
    with pytest.raises(ModelError, match="grows from"):
        read_state(tmp_path / "b.pth")


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
def test_files_that_are_cut_or_turned(tmp_path: Path, name: str) -> None:
    good = tmp_path / name
    (save_file if good.suffix == ".safetensors" else torch.save)({"head.weight": torch.ones(20, 30)}, good)
    content = good.read_bytes()
    for at in range(0, len(content), 97):
        for changed in (content[:at], content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]):
            good.write_bytes(changed)
            with contextlib.suppress(ModelError):
                read_state(good)


def folder(path: Path) -> Path:
    """A model folder."""
    card = ModelCard("test_vit", {"img_size": 32}, ("cat", "dog"), Preprocess((32, 32), (36, 36)))
    card.save(path, card.build().state_dict())
    return path


def test_the_folder_is_right_as_it_is(tmp_path: Path) -> None:
    assert load(folder(tmp_path)).class_names == ("cat", "dog")


ODD = (
    None,
    3,
    -1,
    1e9,
    True,
    "x",
    [],
    {},
    [1],
    ["x", None],
    {"a": 1},
    [[1]],
    10**30,
    [0, 0],
    [10**6, 10**6],
    [1.0] * 3,
)
PLACES = [
    ("architecture",),
    ("arguments",),
    ("class_names",),
    ("preprocess",),
    ("notes",),
    *(("preprocess", name) for name in ("size", "resize", "keep_ratio", "interpolation", "mean", "std", "border")),
]


@pytest.mark.parametrize("place", PLACES, ids="-".join)
def test_cards_that_say_something_odd(tmp_path: Path, place: tuple[str, ...]) -> None:
    good = json.loads((folder(tmp_path) / CARD).read_text())
    for value in ODD:
        card = json.loads(json.dumps(good))
        inner = card["preprocess"] if len(place) == 2 else card
        inner[place[-1]] = value
        (tmp_path / CARD).write_text(json.dumps(card))
        try:
            loaded = load(tmp_path)
        except ExplainError:
            continue
        assert loaded.preprocess is not None
        assert all(isinstance(name, str) for name in loaded.class_names)
        from PIL import Image

        loaded.preprocess(Image.new("RGB", (50, 40)))


@pytest.mark.parametrize("text", ["", "[]", "3", "null", "{}", "[" * 100_000, '{"architecture": NaN}', "\ud800", "{"])
def test_cards_that_are_none(tmp_path: Path, text: str) -> None:
    folder(tmp_path)
    (tmp_path / CARD).write_bytes(text.encode(errors="surrogatepass"))
    for read in (load, ModelCard.read, DetectorCard.read):
        with pytest.raises(ModelError):
            read(tmp_path)  # type: ignore[operator]


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param({"depth": 10**6}, marks=pytest.mark.slow),
        {"embed_dim": 3 * 10**5},
        {"img_size": 10**5},
        {"mlp_ratio": 1e5},
        {"depth": 10**30},
    ],
)
def test_cards_of_enormous_networks(tmp_path: Path, arguments: dict[str, Any]) -> None:
    """Refused before memory is taken: a growth of a GB would mean that it was."""
    good = json.loads((folder(tmp_path) / CARD).read_text())
    good["arguments"] |= arguments
    (tmp_path / CARD).write_text(json.dumps(good))
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError):
        load(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**20  # in KiB


def test_arguments_that_would_load_something(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    saved(tmp_path / "a.pth", Runs(ran))
    for name in ("checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained", "cache_dir"):
        with pytest.raises(ModelError, match=f"set `{name}`, which reads weights or code from elsewhere"):
            build("test_vit", {name: str(tmp_path / "a.pth")})
    assert not ran.exists()


def test_folders_that_lack_something(tmp_path: Path) -> None:
    for name in (CARD, WEIGHTS):
        shutil.rmtree(tmp_path, ignore_errors=True)
        (folder(tmp_path) / name).unlink()
        with pytest.raises(ModelError):
            load(tmp_path)
        shutil.rmtree(tmp_path)
        (folder(tmp_path) / name).write_bytes(b"")
        with pytest.raises(ModelError):
            load(tmp_path)
        shutil.rmtree(tmp_path)
        (folder(tmp_path) / name).unlink()
        (tmp_path / name).mkdir()
        with pytest.raises(ModelError):
            load(tmp_path)


@pytest.mark.parametrize("config", ["[]", "3", "{", '{"architecture": 3}', '{"model_type": "vit"}', '{"id2label": []}'])
def test_configurations_of_other_libraries_that_are_none(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ExplainError):
        load(tmp_path)


def test_a_folder_of_another_library_runs_no_code(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for config in ({"architecture": "test_vit"}, {"model_type": "vit", "architectures": ["ViTForImageClassification"]}):
        (tmp_path / "config.json").write_text(json.dumps(config))
        saved(tmp_path / "pytorch_model.bin", Runs(ran))
        with pytest.raises(ModelError):
            load(tmp_path)
    assert not ran.exists()


CHECKPOINTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "no recipe": lambda kept: kept.pop("recipe"),
    "a recipe that is no text": lambda kept: kept.update(recipe=3),
    "a recipe that is no table": lambda kept: kept.update(recipe="[]"),
    "a deep recipe": lambda kept: kept.update(recipe="[" * 100_000),
    "no epoch": lambda kept: kept.pop("epoch"),
    "an epoch that is a word": lambda kept: kept.update(epoch="two"),
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_checkpoints_that_were_changed(tmp_path: Path, kind: str) -> None:
    recipe, weights = Recipe("vit_tiny_patch16_224", 16, 4), {"weight": torch.zeros(5)}
    save_checkpoint(tmp_path, weights, recipe, epoch=1)
    kept: dict[str, Any] = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    CHECKPOINTS[kind](kept)
    saved(tmp_path / "checkpoint.pt", kept)
    with pytest.raises(DataError):
        load_checkpoint(tmp_path, recipe, torch.device("cpu"))


def test_tied_weights_are_no_fault(tmp_path: Path) -> None:
    weight = torch.randn(4, 5)
    state = read_state(saved(tmp_path / "a.pth", {"one": weight, "other": weight.T, "head.weight": weight[:2]}))
    assert isinstance(state["head.weight"], Tensor)
    assert count_classes(state, tmp_path) == 2
