"""Checkpoints of models that were made with other settings than the architecture's own."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from vitreous.errors import ModelError
from vitreous.models.registry import build
from vitreous.models.shaped import within
from vitreous.models.zoo import load

SMALL = {"img_size": 48, "patch_size": 16}


def saved(path: Path, name: str = "test_vit", wrap: Callable[[dict[str, Tensor]], Any] = dict, **settings: Any) -> Any:
    """A model of timm with random weights, and its weights in a file."""
    torch.manual_seed(0)
    model = build(name, settings).eval()
    torch.save(wrap(model.state_dict()), path)
    return model


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"num_classes": 5}, (3, 160, 160)),
        ({"img_size": 48}, (3, 48, 48)),
        ({"in_chans": 1, "num_classes": 2}, (1, 160, 160)),
        ({"patch_size": 8, "img_size": 64, "num_classes": 3}, (3, 64, 64)),
        ({"global_pool": "avg", "fc_norm": True, "num_classes": 4}, (3, 160, 160)),
        ({"img_size": 48, "in_chans": 4, "num_classes": 9}, (4, 48, 48)),
        ({"img_size": 48, "depth": 3, "mlp_ratio": 2.5}, (3, 48, 48)),
    ],
    ids=str,
)
def test_what_the_tensors_say_need_not_be_said(settings: dict[str, Any], size: tuple[int, ...], tmp_path: Path) -> None:
    model = saved(tmp_path / "w.pth", **settings)
    loaded = load(f"timm:test_vit@{tmp_path / 'w.pth'}")
    images = torch.randn(2, *size)
    torch.testing.assert_close(loaded.model(images), model(images).detach())
    assert len(loaded.class_names) == model.num_classes
    if size[0] == 3:
        assert loaded.preprocess is not None
        assert loaded.preprocess.size == size[1:]


def test_what_they_do_not_say_is_asked_for_and_can_be_given(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    model = saved(path, img_size=(48, 80), num_classes=3)
    remedy = r'pos_embed is .* "timm:test_vit\?img_size=\[384,256\]@FILE" \(in Python settings=.*, patch_size, in_chans'
    with pytest.raises(ModelError, match=remedy):
        load(f"timm:test_vit@{path}")
    images = torch.randn(1, 3, 48, 80)
    for loaded in (
        load(f"timm:test_vit?img_size=[48,80]@{path}"),
        load("timm:test_vit", checkpoint=path, settings={"img_size": (48, 80)}),
        load("timm:test_vit?img_size=[9,9]", checkpoint=str(path), settings={"img_size": (48, 80), "num_classes": 3}),
    ):
        torch.testing.assert_close(loaded.model(images), model(images).detach())
        assert loaded.preprocess is not None
        assert loaded.preprocess.size == (48, 80)


@pytest.mark.parametrize("named", ["test_vit", "deit_tiny_patch16_224"])
def test_the_number_of_heads_is_never_guessed(named: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    wrap = lambda state: {f"net_of_mine.{key}": value for key, value in state.items()}  # noqa: E731
    model = saved(path, named, wrap, img_size=32, embed_dim=128, num_heads=8, depth=2, mlp_ratio=3, num_classes=3)
    usual = build(named, {}).embed_dim
    said = rf'holds tokens of 128 numbers, those of `timm:{named}` have {usual}, .* "timm:{named}\?num_heads=N@FILE"'
    with pytest.raises(ModelError, match=said):
        load(f"timm:{named}@{path}")
    with pytest.raises(ModelError, match=said):
        load(f"timm:{named}?embed_dim=128&depth=2@{path}")
    images = torch.randn(2, 3, 32, 32)
    loaded = load(f"timm:{named}?num_heads=8@{path}")
    torch.testing.assert_close(loaded.model(images), model(images).detach())
    assert (loaded.model(images) - load(f"timm:{named}?num_heads=2@{path}").model(images)).abs().max() > 1e-3


def test_widths_of_stages(tmp_path: Path) -> None:
    path, name = tmp_path / "w.pth", "swin_tiny_patch4_window7_224"
    settings: dict[str, Any] = {"embed_dim": 24, "depths": (1, 1), "num_heads": (1, 2), "img_size": 56}
    model = saved(path, name, num_classes=3, **settings)
    with pytest.raises(ModelError, match=r"tokens of 24 numbers, those of `timm:swin_tiny_patch4_window7_224` have 96"):
        load(f"timm:{name}@{path}")
    loaded = load(f"timm:{name}?num_heads=[1,2]&depths=[1,1]&img_size=56@{path}")
    images = torch.randn(1, 3, 56, 56)
    torch.testing.assert_close(loaded.model(images), model(images).detach())


def test_a_file_that_asks_for_far_more_than_it_holds(tmp_path: Path) -> None:
    state = build("test_vit", {}).state_dict() | {f"blocks.{at}.x": torch.zeros(1) for at in range(999)}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"asks for a network of more than .* numbers, and its weights have"):
        load(f"timm:test_vit@{tmp_path / 'w.pth'}")


def test_counters_of_batches_may_be_missing(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build("test_resnet", {"num_classes": 3}).eval()
    state = {name: value for name, value in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    assert len(state) < len(model.state_dict())
    images = torch.randn(1, 3, 64, 64)
    for folded in (state, {name: value.half() for name, value in state.items()}):
        torch.save(folded, tmp_path / "w.pth")
        loaded = load(f"timm:test_resnet@{tmp_path / 'w.pth'}")
        torch.testing.assert_close(loaded.model(images), model(images).detach(), rtol=0.01, atol=0.01)
    torch.save({name: value for name, value in state.items() if "running_var" not in name}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"missing .*running_var"):
        load(f"timm:test_resnet@{tmp_path / 'w.pth'}")


def test_the_name_says_with_which_settings_it_was_loaded(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    saved(path, img_size=(48, 80), num_classes=3)
    loaded = load("timm:test_vit?img_size=[48,80]", checkpoint=path, settings={"num_classes": 3})
    assert loaded.name == f"timm:test_vit?img_size=[48, 80]&num_classes=3@{path}"
    again = load(loaded.name)
    assert (again.name, again.weights_sha256) == (loaded.name, loaded.weights_sha256)


def test_a_gray_model_says_how_it_is_normalized(tmp_path: Path) -> None:
    saved(tmp_path / "w.pth", "deit_tiny_patch16_224", in_chans=1, depth=1, num_classes=2)
    spec = "timm:deit_tiny_patch16_224?depth=1{}@" + str(tmp_path / "w.pth")
    assert load(spec.format("")).preprocess is None  # three means for one channel
    preprocess = load(spec.format("&mean=0.3&std=0.2")).preprocess
    assert preprocess is not None
    assert (preprocess.mean, preprocess.std) == ((0.3,), (0.2,))


def lightning(state: dict[str, Tensor]) -> Any:
    beside = {"criterion.weight": torch.ones(3), "metric.total": torch.tensor(1)}
    return {"state_dict": {f"net.backbone.{key}": value for key, value in state.items()} | beside, "epoch": 3}


def averaged(state: dict[str, Tensor]) -> Any:
    last = {f"model.{key}": value + 1 for key, value in state.items()}
    return {"state_dict": last | {f"ema_model.module.{key}": value for key, value in state.items()}}


@pytest.mark.parametrize(
    ("wrap", "left"),
    [
        (lightning, "criterion.weight, metric.total."),
        (averaged, "model.cls_token, model.pos_embed, "),
        (lambda state: {"model_state_dict": {f"module.net.{key}": value for key, value in state.items()}}, ""),
        (lambda state: {"ema": {f"encoder.{key}": value for key, value in state.items()}, "model": {}}, ""),
    ],
    ids=["lightning", "averaged", "data parallel", "a name of one's own"],
)
def test_whatever_the_script_called_the_model(wrap: Any, left: str, tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    model = saved(path, wrap=wrap, img_size=48, num_classes=3)
    if left:
        with pytest.warns(UserWarning, match=re.escape("tensors beside the model's, which were left: " + left)):
            loaded = load(f"timm:test_vit@{path}")
    else:
        loaded = load(f"timm:test_vit@{path}")
    images = torch.randn(1, 3, 48, 48)
    torch.testing.assert_close(loaded.model(images), model(images).detach())


def test_names_of_another_library_stay() -> None:
    state = {"encoder.layer.0.weight": torch.ones(1), "norm.weight": torch.ones(1)}
    assert within(state, ["norm.weight", *(f"blocks.{at}.weight" for at in range(9))], Path("x.pth")) == state


@pytest.mark.slow
def test_torchvision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = models.get_model("vit_b_32", weights=None, image_size=96, num_classes=5).eval()
    nn.init.normal_(model.heads[-1].weight)
    torch.save({"state_dict": {f"model.{key}": value for key, value in model.state_dict().items()}}, tmp_path / "w.pth")
    loaded = load(f"torchvision:vit_b_32@{tmp_path / 'w.pth'}")
    images = torch.randn(1, 3, 96, 96)
    torch.testing.assert_close(loaded.model(images), model(images).detach(), rtol=1e-5, atol=1e-4)
    assert loaded.preprocess is not None
    assert (loaded.preprocess.size, loaded.preprocess.resize) == ((96, 96), (110, 110))
    with pytest.raises(ModelError, match=r"cannot be built with .*img_siz.* Correct them"):
        load(f"torchvision:vit_b_32?img_siz=96@{tmp_path / 'w.pth'}")


def test_settings_without_weights_and_without_values_are_refused(tmp_path: Path) -> None:
    for spec in ("timm:test_vit?img_size=48", "torchvision:vit_b_32?image_size=96"):
        with pytest.raises(ModelError, match=r"but no weights that were trained with them\. Leave them out, or give"):
            load(spec)
    with pytest.raises(ModelError, match="no weights that were trained with them"):
        load("default", settings={"img_size": 48})
    saved(tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"`img_size` of .* has no value\. Write NAME=VALUE"):
        load(f"timm:test_vit?img_size@{tmp_path / 'w.pth'}")
    with pytest.raises(ModelError, match=r"cannot be built with these arguments: .*img_sise.* Correct them"):
        load(f"timm:test_vit?img_sise=48@{tmp_path / 'w.pth'}")
