"""What a model raises by itself: an error of ours that says it and what to do, with the cause."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vitreous
from tests.contract.zoo import CASES
from vitreous.errors import ExplainError, ModelError, ModelFailed, NoClassScores, ObservationError, ShapeError
from vitreous.trace.recorder import record
from vitreous.trace.running import run

METHODS = ("ag_cam", "grad_cam", "input_x_gradient", "rise", "rollout")
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


class Model(nn.Module):
    """A ViT of whose class scores something is made."""

    def __init__(self, make: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.inner, self.make = CASES["timm_vit"].model(), make

    def forward(self, images: Tensor) -> Any:
        return self.make(self.inner(images))


def _raising(error: BaseException) -> Model:
    def make(_: Tensor) -> Tensor:
        raise error

    return Model(make)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("too small. Or too large."), "ValueError: too small"),
        (RuntimeError("shapes cannot be multiplied (2x3 and 4x5)\nat line 3"), "RuntimeError: shapes cannot be"),
        (AttributeError("'NoneType' object has no attribute 'shape'"), "AttributeError: 'NoneType' object"),
        (KeyError("pixel_values"), "KeyError: 'pixel_values'"),
        (AssertionError(), "AssertionError"),
        (IndexError("list index out of range"), "IndexError: list index"),
        (ImportError("no flash_attn"), "ImportError: no flash_attn"),
        (NotImplementedError(), "NotImplementedError"),
        (StopIteration(), "StopIteration"),
        (TypeError("unsupported operand"), "TypeError: unsupported operand"),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, Exception) else "",
)
@pytest.mark.parametrize("method", METHODS)
def test_what_a_model_raises_is_said(method: str, error: Exception, said: str) -> None:
    with pytest.raises(
        ModelFailed, match=rf"^`Model` failed on an input of \(\d, 3, 32, 32\) float32: {said}"
    ) as caught:
        vitreous.explain(_raising(error), IMAGES, method)
    assert caught.value.__cause__ is error
    assert "by itself; `vitreous --debug` shows where it failed." in str(caught.value)


@pytest.mark.parametrize("method", METHODS)
def test_a_size_that_does_not_fit_is_said(method: str) -> None:
    with pytest.raises(ModelFailed, match=r"\(\d, 3, 40, 40\) float32: AssertionError: Input height \(40\)"):
        vitreous.explain(CASES["timm_vit"].model(), torch.randn(2, 3, 40, 40), method)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), torch.OutOfMemoryError("40 GiB")])
def test_interrupts_and_a_full_memory_pass(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        vitreous.explain(_raising(error), IMAGES, "rise")
    assert caught.value is error


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to")]
)
def test_the_memory_of_a_cpu_is_memory_too(error: Exception) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        run(_raising(error), IMAGES)


def test_errors_of_ours_pass() -> None:
    error = ExplainError("mine.")
    with pytest.raises(ExplainError) as caught:
        record(_raising(error), IMAGES)
    assert caught.value is error


def test_a_model_of_several_inputs_is_told_so() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = CASES["timm_vit"].model()

        def forward(self, images: Tensor, age: Tensor, *, scale: float = 1.0) -> Tensor:
            return self.inner(images) * age * scale

    for method in METHODS:
        with pytest.raises(
            ModelFailed, match=r"^`Two` needs the inputs `images`, `age`, and one is explained\. Wrap it"
        ):
            vitreous.explain(Two(), IMAGES, method)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ((IMAGES, IMAGES), r"`tuple` that holds the tensors 0 \(2, 3, 32, 32\), 1 .* images\[0\], or torch.stack"),
        ([IMAGES, IMAGES[:, :1]], r"`list` .* Give that one, images\[0\]; a model that takes several"),
        ({"pixel_values": IMAGES, "mask": IMAGES[:, 0]}, r"`dict` .* images\['pixel_values'\]; a model"),
        ({"a": 1}, "`dict` that holds the tensors none"),
    ],
)
def test_several_tensors_are_refused(images: Any, said: str) -> None:
    for ask in (vitreous.explain, vitreous.interactions):
        with pytest.raises(ShapeError, match=said):
            ask(CASES["timm_vit"].model(), images)


def test_a_model_that_returns_nothing_is_told_so() -> None:
    for method in METHODS:
        with pytest.raises(NoClassScores, match=r"`NoneType`, in which there are no class scores\. Let its forward"):
            vitreous.explain(Model(lambda _: None), IMAGES, method, target=1)


@torch.no_grad()
def _without(scores: Tensor) -> Tensor:
    return scores * 2


@torch.inference_mode()
def _in_inference(scores: Tensor) -> Tensor:
    return scores * 2


@pytest.mark.parametrize(
    "make", [_without, _in_inference, Tensor.detach, lambda scores: torch.from_numpy(scores.detach().numpy())]
)
def test_a_gradient_that_a_model_ends_is_told(make: Callable[[Tensor], Tensor]) -> None:
    for method in ("ag_cam", "input_x_gradient", "rollout", "attn_lrp"):
        with pytest.raises(ObservationError, match="no gradient reaches the class scores of `Model`: its forward ends"):
            vitreous.explain(Model(make), IMAGES, method)
    assert vitreous.explain(Model(make), IMAGES, "occlusion", fill="mean").heatmap.any()


def test_so_is_one_that_a_frozen_backbone_ends() -> None:
    """Gradients go to the head, and not through what it was put on."""

    class Probe(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.head = CASES["timm_vit"].model(), nn.Linear(7, 3)

        def forward(self, images: Tensor) -> Tensor:
            with torch.no_grad():
                features = self.inner(images)
            return self.head(features)

    for method in ("ag_cam", "raw_attention", "input_x_gradient", "attn_lrp"):
        with pytest.raises(ObservationError, match="no gradient reaches the class scores of `Probe`: its forward ends"):
            vitreous.explain(Probe(), IMAGES, method)
    with pytest.raises(ObservationError, match=r"a torch\.no_grad\(\) in its forward also give this"):
        vitreous.explain(Probe(), IMAGES, "grad_cam")


@pytest.mark.parametrize(
    ("model", "remedy"),
    [
        ("default", r"got `str`\. Give vitreous\.load\('default'\)"),
        ({"head.weight": IMAGES}, r"got `dict`\. Give a module"),
    ],
)
def test_what_is_no_model_is_refused(model: Any, remedy: str) -> None:
    for ask in (vitreous.explain, vitreous.interactions):
        with pytest.raises(ModelError, match=remedy):
            ask(model, IMAGES)


class _NoWayBack(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        return scores * 2

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> Tensor:
        raise KeyError("tables")


def test_what_a_model_raises_on_the_way_back_is_said() -> None:
    for method in ("ag_cam", "grad_cam", "input_x_gradient", "rollout"):
        with pytest.raises(ObservationError, match=r"back through `Model`: KeyError: 'tables'\. Use a"):
            vitreous.explain(Model(_NoWayBack.apply), IMAGES, method)
