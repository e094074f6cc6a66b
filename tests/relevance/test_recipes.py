"""What the tables of rules promise, on models of every kind."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.contract.zoo import CASES
from tests.quick import KINDS, quick
from vitreous.errors import RuleError, ShapeError, TooFewDigits, UnknownName
from vitreous.methods import make_method
from vitreous.relevance.composites import ATTN_LRP, CHEFER, CP_LRP, DECOMPX, LIBRA_GRAD, chefer, with_gamma
from vitreous.relevance.propagate import propagate
from vitreous.trace.observe import observe
from vitreous.trace.pixels import pixel_response
from vitreous.trace.reading import reading
from vitreous.trace.target import Classes

CONSTANTS = re.compile(
    r"(bias|(pos|position|positional)_embed(ding)?s?(\.weight)?|(cls|reg|dist|class|distillation)_token|register_tokens"
    r"|class_embedding|^token|^registers|^position|pos_embedding|detection_tokens|\.agr"
    r"|pos_embed\.token_projection\.weight)$"
)
GATED = {"timm_eva02"}
# another picture, or queries of its own, add to the class score
ADDED = {"siamese", "hf_detr"}
FROM_PIXELS = [name for name, case in CASES.items() if case.has_classifier and name not in {"timm_mobilenet", *ADDED}]


def without_constants(name: str) -> tuple[nn.Module, Tensor]:
    """A model whose class scores come from its pixels alone: no biases, position embeddings and learned tokens."""
    model, images = CASES[name].model().double(), CASES[name].images().double()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if CONSTANTS.search(key):
                parameter.zero_()
    return model, images


@pytest.mark.parametrize("name", quick(FROM_PIXELS, KINDS))
def test_libra_grad_adds_up_to_the_class_score(name: str) -> None:
    model, images = without_constants(name)
    with reading(CASES[name].reading):
        explanation = make_method("libra_grad")(model, images)
    score = explanation.logits.gather(1, explanation.target[:, None])[:, 0]
    torch.testing.assert_close(explanation.heatmap.sum((1, 2)), score, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["timm_vit", "torchvision_vit", "hf_vit_eager", "hf_clip_sdpa", "timm_eva02"])
def test_decompx_adds_up_where_no_mlp_is_gated(name: str) -> None:
    model, images = without_constants(name)
    explanation = make_method("decompx")(model, images)
    score = explanation.logits.gather(1, explanation.target[:, None])[:, 0]
    assert torch.allclose(explanation.heatmap.sum((1, 2)), score, rtol=1e-9) == (name not in GATED)


def test_cp_lrp_adds_up_where_activations_are_piecewise_linear() -> None:
    model, images = without_constants("torch_encoder")  # ReLU
    explanation = make_method("cp_lrp")(model, images)
    score = explanation.logits.gather(1, explanation.target[:, None])[:, 0]
    torch.testing.assert_close(explanation.heatmap.sum((1, 2)), score, rtol=1e-9, atol=1e-12)


def test_gamma_keeps_the_sum() -> None:
    model, images = without_constants("timm_eva02")
    for recipe in (LIBRA_GRAD, with_gamma(LIBRA_GRAD, 0.25, 0.1)):
        with propagate(model, recipe):
            response = pixel_response(model, images)
        direction = Classes((2,))(response.logits.detach())
        total = (images * response.gradient(direction)).sum((1, 2, 3))
        torch.testing.assert_close(total, response.logits[:, 2].detach(), rtol=1e-9, atol=1e-12)
    first, second = (make_method("attn_lrp", linear_gamma=at)(model, images).heatmap for at in (0.0, 0.1))
    assert not torch.allclose(first, second)


def test_gamma_of_a_convolution_is_that_of_a_linear_layer() -> None:
    conv = nn.Conv2d(3, 5, 2, 2).double()
    images = torch.randn(2, 3, 4, 4).double()

    class Unfolded(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            patches = images.unflatten(3, (2, 2)).unflatten(2, (2, 2)).permute(0, 2, 4, 1, 3, 5).flatten(3)
            return F.linear(patches, conv.weight.flatten(1), conv.bias).permute(0, 3, 1, 2).flatten(1)

    slopes = []
    for model, recipe in (
        (nn.Sequential(conv, nn.Flatten()), with_gamma(ATTN_LRP, 0.3, 0.0)),
        (Unfolded(), with_gamma(ATTN_LRP, 0.0, 0.3)),
    ):
        with propagate(model, recipe):
            response = pixel_response(model, images)
        slopes.append(response.gradient(Classes((7,))(response.logits.detach())))
    torch.testing.assert_close(slopes[0], slopes[1])


@pytest.mark.parametrize("recipe", [CP_LRP, DECOMPX, LIBRA_GRAD, ATTN_LRP], ids=["cp_lrp", "decompx", "libra", "attn"])
def test_fused_attention_is_attention_written_out(recipe: object) -> None:
    slopes = []
    for name in ("timm_vit", "timm_vit_unfused"):
        model, images = CASES[name].model().double(), CASES[name].images().double()
        with propagate(model, recipe):  # type: ignore[arg-type]
            response = pixel_response(model, images)
        slopes.append(response.gradient(Classes((1,))(response.logits.detach())))
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-9, atol=1e-12)


class Norms(nn.Module):
    """A linear model around a norm of one's own."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(8, 6, bias=False), norm, nn.Linear(6, 3, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.norm(self.first(images.flatten(1))))


class WrittenRMSNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


class WrittenLayerNorm(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        centered = x - x.mean(-1, keepdim=True)
        return centered / (centered**2).mean(-1, keepdim=True).add(1e-6).sqrt()


@pytest.mark.parametrize(
    ("written", "norm"),
    [(WrittenRMSNorm(), nn.RMSNorm(6, eps=1e-6)), (WrittenLayerNorm(), nn.LayerNorm(6, eps=1e-6))],
    ids=["rms", "layer"],
)
def test_a_norm_that_is_written_out_is_the_norm(written: nn.Module, norm: nn.Module) -> None:
    images, model = torch.randn(4, 2, 2, 2).double(), Norms(norm).double()
    slopes = []
    for each in (norm, written):
        model.norm = each.double()
        with propagate(model, LIBRA_GRAD):
            response = pixel_response(model, images)
        slopes.append(response.gradient(Classes((1,))(response.logits.detach())))
        total = (images * slopes[-1]).sum((1, 2, 3))
        torch.testing.assert_close(total, response.logits[:, 1].detach())
    torch.testing.assert_close(slopes[0], slopes[1])


def test_a_power_that_is_no_norm_is_refused() -> None:
    class Cubes(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x**3

    model = Norms(Cubes()).double()
    with pytest.raises(RuleError, match="power or square outside of a normalization"):
        make_method("libra_grad")(model, torch.randn(1, 2, 2, 2).double())


@pytest.mark.parametrize("recipe", [CHEFER, LIBRA_GRAD], ids=["chefer", "libra"])
def test_sums_in_place_are_sums(recipe: object) -> None:
    class Adds(nn.Module):
        def __init__(self, in_place: bool) -> None:
            super().__init__()
            self.in_place = in_place

        def forward(self, x: Tensor) -> Tensor:
            kept = F.relu(x * 2.0)
            if self.in_place:
                kept += x * 3.0
                return kept
            return kept + x * 3.0

    images, model = torch.randn(4, 2, 2, 2).double(), Norms(nn.Identity()).double()
    slopes = []
    for in_place in (True, False):
        model.norm = Adds(in_place)
        with propagate(model, recipe):  # type: ignore[arg-type]
            response = pixel_response(model, images)
        slopes.append(response.gradient(Classes((1,))(response.logits.detach())))
    torch.testing.assert_close(slopes[0], slopes[1])


def test_suspended_rules_of_operations_in_place_leave_gradients() -> None:
    images = torch.randn(4, 5).double().requires_grad_()
    model = nn.Sequential(nn.Linear(5, 3), nn.ReLU(inplace=True), nn.Linear(3, 1)).double()
    (expected,) = torch.autograd.grad(model(images).sum(), images)
    with propagate(model, CHEFER) as suspended:
        score = model(images).sum()
    with suspended():
        (gradient,) = torch.autograd.grad(score, images)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("name", ["timm_vit", "torchvision_vit", "hf_vit_eager", "timm_eva02"])
def test_suspended_rules_leave_gradients(name: str) -> None:
    model, images = CASES[name].model().double(), CASES[name].images().double()
    plain = observe(model, images)
    with propagate(model, CHEFER) as suspended:
        ruled = observe(model, images)
    direction = Classes((3,))(plain.logits.detach())
    before = ruled.gradients(direction)
    with suspended():
        gradients = ruled.gradients(direction)
    torch.testing.assert_close(gradients, plain.gradients(direction))
    torch.testing.assert_close(ruled.gradients(direction), before, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["timm_vit", "timm_dinov2_registers", "torchvision_vit", "hf_vit_sdpa", "timm_eva02"])
def test_chefers_rules_conserve(name: str) -> None:
    """The total of relevance stays what it starts from, 1, at every block's output."""
    model, images = CASES[name].model().double(), CASES[name].images().double()
    blocks = {"hf_vit_sdpa": "vit.layers", "torchvision_vit": "encoder.layers.encoder_layer_"}.get(name, "blocks")
    layers = [f"{blocks}{'' if blocks.endswith('_') else '.'}{at}" for at in range(3)]
    with propagate(model, CHEFER):
        trace = observe(model, images, layers=layers)
    direction = Classes((3,))(trace.logits.detach())
    value = (trace.logits * direction).sum()
    for relevance in torch.autograd.grad(value, list(trace.layers.values()), retain_graph=True):
        torch.testing.assert_close(relevance.sum((1, 2)), torch.ones(len(images)).double(), rtol=1e-5, atol=1e-5)


def test_chefers_second_set_does_not_conserve() -> None:
    model, images = CASES["timm_vit"].model().double(), CASES["timm_vit"].images().double()
    with propagate(model, chefer("orig")):
        trace = observe(model, images, layers=["blocks.1"])
    value = (trace.logits * Classes((3,))(trace.logits.detach())).sum()
    (relevance,) = torch.autograd.grad(value, list(trace.layers.values()))
    assert (relevance.sum((1, 2)) > 2).all()


@pytest.mark.parametrize("method", ["transformer_attribution", "lrp"])
def test_epsilon_is_a_setting(method: str) -> None:
    model, images = CASES["timm_vit"].model().double(), CASES["timm_vit"].images().double()
    maps = [make_method(method, **settings)(model, images).heatmap for settings in ({}, {"epsilon": 1e-9})]
    assert torch.equal(*maps)
    assert not torch.allclose(maps[0], make_method(method, epsilon=1e-2)(model, images).heatmap)


@pytest.mark.slow
def test_integrated_gradients_add_up_to_the_difference() -> None:
    model, images = CASES["timm_vit"].model().double(), CASES["timm_vit"].images(1).double()
    with torch.no_grad():
        difference = (model(images) - model(torch.zeros_like(images)))[:, 2]
    errors = []
    for quadrature in ("right", "midpoint"):
        method = make_method("integrated_gradients", steps=200, quadrature=quadrature, baseline="mean")
        total = method(model, images, Classes((2,))).heatmap.sum((1, 2))
        errors.append((total - difference).abs().max().item() / difference.abs().max().item())
    assert errors[0] < 0.1
    assert errors[1] < errors[0] / 10


def test_autocast_to_half_precision_is_refused() -> None:
    case = CASES["timm_vit"]
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(TooFewDigits, match="bfloat16 keeps too few"):
        make_method("lrp")(case.model(), case.images())


def test_settings_are_checked() -> None:
    with pytest.raises(ShapeError, match="`steps` of `integrated_gradients` is 0"):
        make_method("integrated_gradients", steps=0)
    with pytest.raises(ShapeError, match="`linear_gamma` must be at least 0"):
        make_method("attn_lrp", linear_gamma=-1.0)
    model, images = CASES["timm_vit"].model().double(), CASES["timm_vit"].images().double()
    with pytest.raises(UnknownName, match='no value of `start_layer` named "3"'):
        make_method("lrp", readout="rollout", start_layer=3)(model, images)
    del model.blocks[1:]
    with pytest.raises(UnknownName, match='no value of `layer` named "1"'):
        make_method("lrp", readout="second_layer")(model, images)
