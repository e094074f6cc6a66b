"""Models that are quantized, change their input, freeze what they take a softmax of, or fold heads into the batch."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import vitreous
from tests.contract.zoo import CASES, CLASSES
from vitreous.errors import ModelError, NoGlobalAttention, NotFinite, ObservationError
from vitreous.methods import make_method
from vitreous.methods.ag_cam import AGCAM
from vitreous.methods.grad_cam import GradCAM
from vitreous.methods.input_x_gradient import InputXGradient
from vitreous.methods.rise import RISE
from vitreous.methods.rollout import Rollout
from vitreous.trace.observe import observe
from vitreous.trace.restrict import restricted_logits
from vitreous.trace.target import Classes


class _Halves(nn.Module):
    """A model that scales and shifts its input in place."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(images.mul_(0.5).sub_(0.1))


class _Plain(_Halves):
    """The same, on a copy."""

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(images * 0.5 - 0.1)


class _Keeps(nn.Module):
    """A model that keeps what it gave for pictures of a size."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.kept = inner, dict[torch.Size, Tensor]()

    def forward(self, images: Tensor) -> Tensor:
        if images.shape not in self.kept:
            self.kept[images.shape] = self.inner(images)
        return self.kept[images.shape]


def test_a_model_that_keeps_its_answers_is_refused() -> None:
    case = CASES["timm_vit"]
    with pytest.raises(ObservationError, match=r"`.*` of `_Keeps` did not run on these images"):
        vitreous.explain(_Keeps(case.model()), case.images(), "grad_cam")


@pytest.mark.parametrize(
    "name",
    ["ag_cam", "grad_cam", "input_x_gradient", "integrated_gradients", "mgrw", "raw_attention", "rise", "tis"],
)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_model_may_change_its_input_in_place(name: str, dtype: torch.dtype) -> None:
    settings = {"integrated_gradients": {"steps": 2, "baseline": "mean"}, "tis": {"masks": 6}}.get(name, {})
    settings |= {"rise": {"masks": 6, "grid": 2}, "mgrw": {"walks": 8, "fill": "mean"}}.get(name, {})
    method, inner = make_method(name, **settings), CASES["timm_vit"].model().to(dtype)
    images = CASES["timm_vit"].images().to(dtype)
    before, target = images.clone(), Classes((0,))
    found = method(_Halves(inner), images, target)
    assert torch.equal(images, before)
    expected = method(_Plain(inner), images, target)
    torch.testing.assert_close(found.heatmap, expected.heatmap)
    torch.testing.assert_close(found.logits, expected.logits)


@pytest.mark.filterwarnings("ignore")  # torch's own quantization warns that another package follows it
@pytest.mark.parametrize("part", ["", "blocks.0.mlp.fc1"])
def test_layers_without_gradient_are_refused_where_it_is_needed(part: str) -> None:
    from torch.ao.quantization import default_dynamic_qconfig, quantize_dynamic

    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    model = quantize_dynamic(model, {part: default_dynamic_qconfig} if part else {nn.Linear})
    gradient = r"`quantized.linear_dynamic`.*before quantization"
    # steps of a whole quantized model hide which patch a token is, and are told all the same
    hidden = () if part else (Rollout(),)
    for method in (AGCAM(), InputXGradient(), GradCAM(layer="blocks.0.norm1"), *hidden):
        with pytest.raises(ObservationError, match=gradient):
            method(model, images)
    RISE(masks=4, fill="mean")(model, images)


class _Bare(nn.Module):
    """A ViT whose attention runs in the model itself; its heads can be folded into the batch."""

    def __init__(self, *, folded: bool) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.gate = nn.Parameter(torch.randn(3, 1, 2, generator=generator), requires_grad=False)
        self.token = nn.Parameter(torch.randn(1, 1, 16, generator=generator))
        self.head = nn.Linear(16, CLASSES)
        self.folded = folded

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).mT
        tokens = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], 1)
        for _ in range(2):
            heads = tokens.unflatten(2, (2, 8)).transpose(1, 2)
            heads = heads.flatten(0, 1) if self.folded else heads
            mixed = F.scaled_dot_product_attention(heads, heads, heads)
            mixed = mixed.unflatten(0, (-1, 2)) if self.folded else mixed
            tokens = tokens + mixed.transpose(1, 2).flatten(2) * self.gate.softmax(-1).sum()
        return self.head(tokens[:, 0])


def test_heads_folded_into_the_batch_are_refused() -> None:
    model, images = _Bare(folded=True), torch.randn(2, 3, 32, 32)
    for name in ("ag_cam", "rollout", "generic_attention", "mgrw", "attcat", "transformer_attribution"):
        with pytest.raises(NoGlobalAttention, match="heads or views of a picture that share an axis"):
            make_method(name, **({"fill": "mean"} if name == "mgrw" else {}))(model, images)
    with pytest.raises(NoGlobalAttention, match="heads or views of a picture that share an axis"):
        restricted_logits(model, images, {0: torch.ones(1, 16, 16, dtype=torch.bool)})


@pytest.mark.parametrize("tokens", [-1, 17])
def test_a_head_that_remembers_the_number_of_images_is_refused(tokens: int) -> None:
    """LeGrad lets the batch grow before the head, which then mixes the images or fails."""

    class Remembers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = CASES["timm_vit_mean"].model()

        def forward(self, images: Tensor) -> Tensor:
            width = 32 if tokens == -1 else -1
            return self.inner.head(self.inner.forward_features(images).reshape(len(images), tokens, width).mean(1))

    with pytest.raises(ObservationError, match="`Remembers` remembers how many images came in"):
        make_method("legrad")(Remembers(), CASES["timm_vit_mean"].images())


def test_a_frozen_parameter_under_a_softmax_stays_frozen() -> None:
    model, images = _Bare(folded=False), torch.randn(2, 3, 32, 32)
    Rollout()(model, images)
    assert not model.gate.requires_grad
    model.requires_grad_(False)
    assert observe(model, images).gradients(torch.ones(2, CLASSES))[0].any()
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_attention_beside_the_skip_path_is_no_ag_cam() -> None:
    """Cutting the input of the module that runs attention cuts the skip path, which AG-CAM's gradients follow."""
    with pytest.raises(ObservationError, match="hold the skip path too"):
        AGCAM()(_Bare(folded=False), torch.randn(2, 3, 32, 32))


def test_a_softmax_without_an_axis_is_none_of_attention() -> None:
    class Old(nn.Module):
        def forward(self, tokens: Tensor) -> Tensor:
            with pytest.warns(UserWarning, match="Implicit dimension"):
                gate = F.softmax(tokens)
            return F.scaled_dot_product_attention(tokens, tokens, tokens) * gate

    assert len(observe(Old(), torch.randn(1, 2, 5, 8)).attentions) == 1


def test_features_without_numbers_are_no_map() -> None:
    """Overflow in half precision: a singular value decomposition would fail with an error of its own."""
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    nn.init.constant_(model.blocks[0].norm1.weight, torch.inf)
    with pytest.raises(NotFinite, match="NaN or infinite"):
        make_method("eigen_cam", layer="blocks.0.norm1")(model, images)


def test_weights_made_in_inference_mode_are_refused() -> None:
    with torch.inference_mode():
        model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    for name in ("ag_cam", "grad_cam", "libra_grad", "rollout"):
        with pytest.raises(ModelError, match=r"`VisionTransformer` were made in inference mode"):
            make_method(name)(model, images)


def test_weights_without_a_size_are_refused() -> None:
    model, images = nn.Sequential(CASES["timm_vit"].model(), nn.LazyLinear(CLASSES)), CASES["timm_vit"].images()
    for name in ("ag_cam", "grad_cam", "rollout", "rise"):
        with pytest.raises(
            ModelError, match=r"as of nn\.LazyLinear, and had none yet\. Load its weights, or call it once"
        ):
            vitreous.explain(model, images, name)
    model(images)
    assert vitreous.explain(model, images, "rollout").heatmap.isfinite().all()
