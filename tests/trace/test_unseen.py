"""What torch shows nothing of (TorchScript, functions with their own backward, transforms) is no silent wrong map."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

import vitreous
from tests.contract.written import vit
from vitreous.errors import NothingObserved, NoTokenGrid, ObservationError, RuleError

pytestmark = pytest.mark.filterwarnings("ignore")  # torch's own, of TorchScript, differ from version to version
torch.manual_seed(0)
MODEL = vit(num_classes=3).eval()
IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
RULES = "lrp", "transformer_attribution", "attn_lrp", "libra_grad", "cp_lrp", "decompx"


class Gate(nn.Module):
    """An activation that is written out."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


def _gate(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


class _Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx.save_for_backward(x)
        return _gate(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,) = ctx.saved_tensors
        share = torch.sigmoid(1.702 * x)
        return gradient * (share + 1.702 * x * share * (1 - share))


class Calls(nn.Module):
    """A module that calls a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def scripted(made: Any) -> Any:
    return torch.jit.script(made)


UNSEEN: dict[str, Callable[[], nn.Module]] = {
    "a scripted function": lambda: Calls(scripted(_gate)),
    "a scripted module": lambda: scripted(Gate()),
    "a function with a backward of its own": lambda: Calls(_Own.apply),
}


def check_same(found: Tensor, right: Tensor) -> None:
    torch.testing.assert_close(found, right, rtol=1e-3, atol=1e-5 * right.abs().max().item())


def with_gates(gate: nn.Module) -> nn.Module:
    model = copy.deepcopy(MODEL)
    for block in model.blocks:
        block.mlp.act = gate
    return model


@pytest.mark.parametrize("kind", UNSEEN)
def test_what_is_not_seen_has_no_relevance(kind: str) -> None:
    model, plain = with_gates(UNSEEN[kind]()), with_gates(Gate())
    for method in ("raw_attention", "ag_cam", "grad_cam"):
        found, right = (vitreous.explain(each, IMAGES, method, target=0).heatmap for each in (model, plain))
        check_same(found, right)
    for method in RULES:
        with pytest.raises(RuleError, match=r"shape \(\d, 17, \d+\) for .* cannot be seen"):
            vitreous.explain(model, IMAGES, method, target=0)


def test_neither_has_what_comes_last() -> None:
    model = nn.Sequential(MODEL, Calls(_Own.apply))
    with pytest.raises(RuleError, match=r"shape \(\d, 3\) for .* cannot be seen"):
        vitreous.explain(model, IMAGES, "lrp", target=0)


@pytest.mark.parametrize("training", [False, True])
def test_a_scripted_model_only_runs(*, training: bool) -> None:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.ReLU(), nn.Conv2d(8, 4, 1))
    plain = nn.Sequential(encoder, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model = scripted(plain).train(training)
    found, right = (vitreous.explain(each, IMAGES, "rise", target=0, masks=16).heatmap for each in (model, plain))
    check_same(found, right)
    with pytest.raises(NothingObserved, match="made from"):
        vitreous.explain(model, IMAGES, "raw_attention", target=0)
    for method in ("grad_cam", "lrp", "input_x_gradient"):
        with pytest.raises(ObservationError, match=r"is TorchScript, .* scripted from"):
            vitreous.explain(model, IMAGES, method, target=0)
    assert model.training == training


def test_a_traced_or_exported_model_says_where_it_came_from() -> None:
    exported = torch.export.export(MODEL, (IMAGES,)).module()
    with pytest.raises(NothingObserved, match=r"exported program.* made from"):
        vitreous.explain(exported, IMAGES, "raw_attention")
    traced = torch.jit.trace(MODEL, IMAGES)
    with pytest.raises(NothingObserved, match=r"TorchScript.* made from"):
        vitreous.explain(traced, IMAGES, "raw_attention")
    with pytest.raises(RuleError, match="cannot be seen"):
        vitreous.explain(traced, IMAGES, "lrp", target=0)


class Mapped(nn.Module):
    """A model that takes images one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = MODEL

    def forward(self, images: Tensor) -> Tensor:
        return torch.func.vmap(lambda image: self.inner(image[None])[0])(images)


class Called(nn.Module):
    """A model with weights from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = MODEL

    def forward(self, images: Tensor) -> Tensor:
        weights = {name: weight * 1 for name, weight in self.inner.named_parameters()}
        return torch.func.functional_call(self.inner, weights, (images,))


METHODS = "raw_attention", "ag_cam", "grad_cam", "lrp", "input_x_gradient"


@pytest.mark.parametrize("method", METHODS)
def test_inside_of_a_transform_nothing_is_seen(method: str) -> None:
    with pytest.raises(ObservationError, match="inside of a function transform"):
        vitreous.explain(Mapped(), IMAGES, method, target=0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("make", [Called, lambda: fx.symbolic_trace(MODEL)])
def test_models_in_other_forms_have_the_same_map(make: Callable[[], nn.Module], method: str) -> None:
    if method == "ag_cam" and make is not Called:
        with pytest.raises(ObservationError, match="modules of its own"):
            vitreous.explain(make(), IMAGES, method, target=0)
        return
    found, right = (vitreous.explain(each, IMAGES, method, target=0).heatmap for each in (make(), MODEL))
    check_same(found, right)


def test_heads_are_no_maps() -> None:
    with pytest.raises(NoTokenGrid, match="has the shape of maps of the picture and does not follow it"):
        vitreous.explain(fx.symbolic_trace(MODEL), IMAGES, "grad_cam", target=0, layer="blocks.0.attn.q_norm")
