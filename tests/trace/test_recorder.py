"""One watched forward pass: what it shows, keeps and refuses, and what it leaves alone."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
import torch
from torch import Tensor, nn

from tests.contract.promises import fingerprint
from tests.contract.zoo import CASES
from vitreous.errors import NothingObserved, ObservationError, ShapeError, UnknownName
from vitreous.methods.grad_cam import GradCAM
from vitreous.methods.rollout import Rollout
from vitreous.trace.attend import AttentionCall, WrittenAttention
from vitreous.trace.observe import observe
from vitreous.trace.recorder import record
from vitreous.trace.seen import AttentionSeen

KINDS = ["timm_vit", "timm_vit_unfused", "torchvision_vit", "hf_vit_sdpa", "hf_vit_eager", "torch_encoder", "open_clip"]


def kept_by_hooks(model: nn.Module, images: Tensor, names: tuple[str, ...]) -> list[Tensor]:
    """What the named modules are given first, by position or by name."""
    given: list[Tensor] = []
    handles = [
        model.get_submodule(name).register_forward_pre_hook(
            lambda _, args, kwargs: given.append(next(iter((*args, *kwargs.values())))), with_kwargs=True
        )
        for name in names
    ]
    with torch.no_grad():
        model(images)
    for handle in handles:
        handle.remove()
    return given


@pytest.mark.parametrize("name", KINDS)
def test_the_input_of_every_attention_can_be_asked_for(name: str) -> None:
    model, images = CASES[name].model(), CASES[name].images()
    before = fingerprint(model)
    names = record(model, images).names
    seen = record(model, images, inputs=names, gradients=True)
    for each, expected in zip(names, kept_by_hooks(model, images, names), strict=True):
        torch.testing.assert_close(seen.inputs[each].detach(), expected, rtol=1e-4, atol=1e-5)
    slopes = torch.autograd.grad(seen.logits[:, 3].sum(), [seen.inputs[each] for each in names])
    assert all(slope.any() for slope in slopes)
    assert fingerprint(model) == before


def test_observe_keeps_inputs_and_outputs_at_once() -> None:
    model, images = CASES["timm_vit"].model().requires_grad_(False), CASES["timm_vit"].images()
    trace = observe(model, images, layers=["blocks.0.norm1"], inputs=["blocks.0.attn", "blocks.0"])
    torch.testing.assert_close(trace.layers["blocks.0.norm1"], trace.inputs["blocks.0.attn"])
    direction = torch.ones_like(trace.logits)
    norm, attention, block = torch.autograd.grad(
        (trace.logits * direction).sum(),
        [trace.layers["blocks.0.norm1"], trace.inputs["blocks.0.attn"], trace.inputs["blocks.0"]],
    )
    torch.testing.assert_close(norm, attention)
    assert block.any()
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_gradients_in_the_input_of_an_attention_are_those_of_finite_differences() -> None:
    model, images = CASES["timm_vit"].model().double(), CASES["timm_vit"].images(1).double()
    seen = record(model, images, inputs=["blocks.1.attn"], gradients=True)
    (slope,) = torch.autograd.grad(seen.logits[0, 3], seen.inputs["blocks.1.attn"])
    change = torch.zeros_like(slope)
    change[0, 5, 7] = 1e-6
    with model.blocks[1].attn.register_forward_pre_hook(lambda _, args: (args[0] + change,)), torch.no_grad():
        moved = model(images)[0, 3]
    torch.testing.assert_close((moved - seen.logits[0, 3].detach()) / 1e-6, slope[0, 5, 7], rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize(("name", "kind"), [("timm_vit", AttentionCall), ("hf_vit_eager", WrittenAttention)])
def test_an_attention_is_shown_as_a_record_of_what_is_known(name: str, kind: type) -> None:
    model, images = CASES[name].model(), CASES[name].images()
    shown: list[AttentionSeen] = []
    plain = record(model, images)
    seen = record(model, images, attention=shown.append)
    assert torch.equal(plain.logits, seen.logits), "torch's own attention ran"
    assert [each.name for each in shown] == list(seen.names)
    assert [each.sizes for each in shown] == [(17,), (17, 17), (17, 17, 17)]
    assert {(each.grid, each.model, type(each.attention)) for each in shown} == {((4, 4), type(model).__name__, kind)}
    assert seen.tokens.extra == 1
    with pytest.raises(FrozenInstanceError):
        shown[0].sizes = ()


def test_what_is_returned_takes_the_place_of_fused_attention() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()

    def nothing(seen: AttentionSeen) -> Tensor:
        assert isinstance(seen.attention, AttentionCall)
        return torch.zeros_like(seen.attention.value)

    with torch.no_grad():
        for block in model.blocks:
            block.attn.qkv.weight[64:].zero_()  # values, of which a bias is left
            block.attn.qkv.bias[64:].zero_()
    with torch.no_grad():
        expected = model(images)
    torch.testing.assert_close(record(model, images, attention=nothing).logits, expected)


class Writes(nn.Module):
    """Overwrites what its first layer gave."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.unused = nn.Conv2d(3, 4, 8, 8), nn.Linear(2, 2)
        self.number = nn.Module()
        self.number.forward = lambda: 3  # type: ignore[method-assign]

    def forward(self, images: Tensor) -> Tensor:
        maps = self.first(images)
        maps.relu_().mul_(self.number())
        return maps.mean((2, 3))


def test_what_cannot_be_kept_is_refused() -> None:
    model, images = Writes(), torch.randn(2, 3, 32, 32)
    for name, verb in (("unused", "gave"), ("number", "gave")):
        with pytest.raises(ObservationError, match=rf"`{name}` of `Writes` {verb} no tensor when the model ran\. Name"):
            record(model, images, outputs=[name])
    with pytest.raises(ObservationError, match="`number` of `Writes` took no tensor"):
        record(model, images, inputs=["number"])
    with pytest.raises(ObservationError, match="what `first` of `Writes` gave was overwritten in place"):
        record(model, images, outputs=["first"], gradients=True)
    with pytest.raises(UnknownName, match='no layer named "second"'):
        record(model, images, inputs=["second"])
    with pytest.raises(ShapeError, match="NaN"):
        record(model, images * torch.nan)
    with pytest.raises(NothingObserved, match="`Writes` ran without any attention"):
        record(model, images).check_attention()


@pytest.mark.parametrize("frozen", [True, False])
def test_what_is_kept_without_gradients_is_as_it_was(frozen: bool) -> None:
    model, images = Writes().requires_grad_(not frozen), torch.randn(2, 3, 32, 32)
    kept = record(model, images, outputs=["first"]).outputs["first"]
    torch.testing.assert_close(kept, model.first(images).detach())
    if frozen:  # gradients start there, so the model goes on from a copy
        kept = record(model, images, outputs=["first"], gradients=True).outputs["first"]
        torch.testing.assert_close(kept.detach(), model.first(images))


def test_a_frozen_parameter_that_a_module_gives_stays_frozen() -> None:
    class Position(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.randn(3, 32, 32), requires_grad=False)

        def forward(self) -> Tensor:
            return self.table

    class Adds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.position = Position()

        def forward(self, images: Tensor) -> Tensor:
            return (images + self.position()).mean((2, 3))

    model = Adds()
    seen = record(model, torch.randn(1, 3, 32, 32), outputs=["position"], gradients=True)
    assert torch.autograd.grad(seen.logits.sum(), seen.outputs["position"])[0].any()
    assert not model.position.table.requires_grad


class Explains(nn.Module):
    """A model that explains another, or a part of itself, on its way, and weighs its picture by the map."""

    def __init__(self, inner: nn.Module, own: nn.Module, method: str) -> None:
        super().__init__()
        self.own, self.inner = own, inner
        self.method = {"rollout": Rollout(), "grad_cam": GradCAM()}[method]
        self.heat: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        heat = self.method(self.inner, images).heatmap
        self.heat.append(heat)
        shown = heat.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, None]
        return self.own(images * (1 + shown))


class Shown(nn.Module):
    """The same, its map given."""

    def __init__(self, own: nn.Module, heat: Tensor) -> None:
        super().__init__()
        self.own, self.heat = own, heat

    def forward(self, images: Tensor) -> Tensor:
        shown = self.heat[: len(images)].repeat_interleave(8, 1).repeat_interleave(8, 2)[:, None]
        return self.own(images * (1 + shown))


@pytest.mark.parametrize("of_itself", [False, True])
@pytest.mark.parametrize("method", ["rollout", pytest.param("grad_cam", marks=pytest.mark.slow)])
def test_a_model_that_observes_on_its_way_is_observed_without_that(method: str, of_itself: bool) -> None:
    own = CASES["timm_vit"].model()
    inner = own if of_itself else CASES["hf_vit_eager"].model()
    images = CASES["timm_vit"].images()
    model = Explains(inner, own, method)
    expected = model.method(inner, images).heatmap
    trace = observe(model, images, inputs=["own.blocks.1"])
    alone = observe(Shown(own, expected), images, inputs=["own.blocks.1"])
    assert torch.equal(model.heat[-1], expected), "the map inside is the map outside"
    assert [each.name for each in trace.attentions] == [f"own.blocks.{at}.attn" for at in range(3)]
    assert torch.equal(trace.logits, alone.logits)
    assert torch.equal(trace.inputs["own.blocks.1"], alone.inputs["own.blocks.1"])
    direction = torch.ones_like(trace.logits)
    for got, wanted in zip(trace.gradients(direction), alone.gradients(direction), strict=True):
        assert torch.equal(got, wanted)
    cams = [GradCAM(layer="own.blocks.1")(each, images).heatmap for each in (model, Shown(own, expected))]
    assert torch.equal(*cams)
