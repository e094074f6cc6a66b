"""What `explain` is asked for by name: settings of methods, names of classes, words that it does not know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vitreous
from tests.contract.zoo import CASES
from vitreous.errors import DataError, ModelError, ShapeError, UnknownName
from vitreous.explaining.asked import asked_methods
from vitreous.explaining.targets import as_target
from vitreous.methods.grad_cam import GradCAM
from vitreous.methods.rise import RISE
from vitreous.methods.rollout import Rollout


class Pair(nn.Module):
    """Features, and class scores after them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 4, 4), nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Any:
        features = self.stem(images).mean((2, 3))
        return features, self.head(features)


def asked(method: Any, settings: dict[str, Any] | None = None, **more: Any) -> Any:
    return asked_methods(method, settings or {}, more, ["output", "batch_size"])


def test_settings_are_given_by_name() -> None:
    assert asked("rise", masks=9, settings={"batch_size": 2, "rise.seed": 3}) == {
        "": RISE(masks=9, batch_size=2, seed=3)
    }
    assert asked(["rise", "rollout"], {"rise.batch_size": 2}) == {"rise": RISE(batch_size=2), "rollout": Rollout()}
    assert asked(["grad_cam", "layer_cam"], layer="norm")["grad_cam"] == GradCAM(layer="norm")
    mine = RISE(masks=5)
    assert asked({"mine": mine, "its": "rise"}, {"masks": 7}) == {"mine": mine, "its": RISE(masks=7)}


def test_a_method_s_own_batch_size_is_reached() -> None:
    images, model = torch.randn(1, 3, 8, 8), Pair().eval()
    settings = {"batch_size": 2, "masks": 8, "score": "logit"}
    found = vitreous.explain(model, images, "rise", 0, output=1, settings=settings)
    assert found.method == RISE(masks=8, batch_size=2, score="logit")


def test_words_that_are_not_known() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    with pytest.raises(UnknownName, match=r'named "model_output"\. Did you mean "output"\? Known: start_layer, '):
        vitreous.explain(model, images, "rollout", model_output="logits")
    with pytest.raises(UnknownName, match=r'named "start_layr"\. Did you mean "start_layer"'):
        vitreous.explain(model, images, ["rollout", "grad_cam"], start_layr=1)
    with pytest.raises(UnknownName, match='no setting of `grad_cam` named "start_layer"'):
        vitreous.explain(model, images, ["rollout", "grad_cam"], start_layer=1)
    with pytest.raises(UnknownName, match=r'no row of settings named "rolout"\. Did you mean "rollout"'):
        vitreous.explain(model, images, ["rollout", "grad_cam"], settings={"rolout.start_layer": 1})
    with pytest.raises(ShapeError, match="`start_layer` is given as a setting, and no method by its name"):
        vitreous.explain(model, images, Rollout(), start_layer=1)
    with pytest.raises(UnknownName, match=r'no argument named "model_output"\. Did you mean "output"'):
        vitreous.load("default", model_output="logits")  # pyright: ignore[reportCallIssue]


def test_a_negative_output_counts_from_the_end() -> None:
    model, images = Pair().eval(), torch.randn(2, 3, 8, 8)
    last, named = (vitreous.explain(model, images, "input_x_gradient", 0, output=at) for at in (-1, 1))
    assert torch.equal(last.heatmap, named.heatmap)
    for outside in (-3, 2):
        with pytest.raises(UnknownName, match=f'no output of `Pair` named "{outside}"'):
            vitreous.explain(model, images, "input_x_gradient", 0, output=outside)


def test_names_of_classes_from_a_file(tmp_path: Path) -> None:
    model, images, file = Pair().eval(), torch.randn(1, 3, 8, 8), tmp_path / "names.txt"
    file.write_bytes("\ufeffa hen\r\nein Hähnchen\r\nowl\r\n\r\n".encode())
    found = vitreous.explain(model, images, "input_x_gradient", "owl", output=1, class_names=file)
    assert found.class_names == ("a hen", "ein Hähnchen", "owl")
    assert found.class_name(int(found.target)) == "owl"
    for content, said in {
        b"one\n\nthree": "line 2 is empty",
        b"": "it has 0 lines",
        b"\xff\xfe\x00a": "is no text in UTF-8",
    }.items():
        file.write_bytes(content)
        with pytest.raises(DataError, match=said):
            vitreous.explain(model, images, "input_x_gradient", 0, output=1, class_names=str(file))
    file.write_text("one\ntwo\n")
    with pytest.raises(ShapeError, match=r"there are 2 `class_names` for 3 classes\."):
        vitreous.explain(model, images, "input_x_gradient", 0, output=1, class_names=file)


@pytest.mark.parametrize("target", [True, [True, False], {1, 2}, {"a": 1}, b"3"])
def test_targets_that_python_takes_for_numbers_or_that_have_no_order(target: Any) -> None:
    with pytest.raises(ShapeError, match=r"the target is .* Give the index or name of a class"):
        as_target(target, ("a", "b", "c"))


def test_a_target_function_that_fails_is_told() -> None:
    with pytest.raises(ShapeError, match=r"failed on logits \(1, 3\): IndexError: .* returns one number per image"):
        vitreous.explain(Pair().eval(), torch.randn(1, 3, 8, 8), "grad_cam", lambda own: own[:, 9], output=1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda images: images.to("meta"), "on the device meta, which holds no numbers"),
        (lambda images: images.to_sparse(), r"laid out as torch.sparse_coo. Give a dense tensor: images.to_dense\(\)"),
    ],
)
def test_tensors_without_numbers_that_could_be_read(change: Callable[[Tensor], Tensor], said: str) -> None:
    images = change(torch.randn(1, 3, 8, 8))
    with pytest.raises(ShapeError, match=said):
        vitreous.explain(Pair().eval().to(images.device), images, "grad_cam", output=1)


def test_inside_of_torch_s_function_transforms() -> None:
    model, images = Pair().eval(), torch.randn(2, 3, 8, 8)
    with pytest.raises(ShapeError, match=r"inside of torch.func, such as vmap or grad"):
        torch.vmap(lambda one: vitreous.explain(model, one[None], "grad_cam", 0, output=1).heatmap)(images)
    with pytest.raises(ShapeError, match=r"inside of torch.func, such as vmap or grad"):
        torch.func.grad(lambda all_: vitreous.explain(model, all_, "grad_cam", 0, output=1).heatmap.sum())(images)


def test_another_default_device_of_torch_s_is_refused_with_what_helps() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    expected = vitreous.explain(model, images, "rollout").heatmap
    with torch.device("meta"):
        with pytest.raises(ModelError, match=r'new tensors on meta by default.*`with torch.device\("cpu"\):`'):
            vitreous.explain(model, images, "rollout")
        with torch.device("cpu"):
            assert torch.equal(vitreous.explain(model, images, "rollout").heatmap, expected)
