from __future__ import annotations

import threading

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.contract.promises import fingerprint
from tests.contract.zoo import CASES
from tests.quick import KINDS, quick
from vitreous.errors import ModelError, NothingObserved, NoTokenGrid, ObservationError, ShapeError, UnknownName
from vitreous.methods.rollout import Rollout
from vitreous.trace.observe import observe
from vitreous.trace.output import class_scores
from vitreous.trace.reading import reading

SEEN = [name for name, case in CASES.items() if case.refusal != "NothingObserved"]
EXPECTED_COUNT = {
    "timm_siglip": 4,
    "hf_siglip_sdpa": 4,
    "hf_siglip_eager": 4,
    "timm_cait": 4,
    "timm_xcit": 2,
    "salg": 5,
    "siamese": 4,
    "hf_detr": 6,
} | dict.fromkeys(
    (
        "class_token_last",
        "column_major",
        "ensemble",
        "headless",
        "hf_segformer",
        "hf_segformer_place",
        "hf_yolos",
        "lightning",
        "linear_embedding",
        "lora",
        "monai_vit",
        "regressor",
        "registers_last",
        "timm_naflex",
        "vit_pytorch",
    ),
    2,
)
PREFIX = {
    "timm_vit_mean": 1,
    "timm_vit_registers_mean": 4,
    "timm_deit_distilled": 2,
    "timm_dinov2_registers": 5,
    "timm_dinov3": 5,
    "timm_siglip": 0,
    "timm_cait": 0,
    "hf_deit_sdpa": 2,
    "hf_deit_eager": 2,
    "hf_dinov2_registers_sdpa": 5,
    "hf_dinov2_registers_eager": 5,
    "hf_siglip_sdpa": 0,
    "hf_siglip_eager": 0,
    "registers_last": 5,
    "timm_naflex": 4,
    "hf_yolos": 6,
    "headless": 5,
}


@pytest.mark.parametrize("name", quick(SEEN, KINDS))
def test_sees_every_attention_and_changes_nothing(name: str) -> None:
    case = CASES[name]
    model, images = case.model(), case.images()
    before = fingerprint(model)
    with reading(case.reading):
        trace = observe(model, images)
        logits, gradients = trace.logits, trace.gradients(trace.logits.detach())
        if case.refusal not in ("NoGlobalAttention", "ObservationError"):
            assert (trace.tokens.height, trace.tokens.width) == tuple(side // 8 for side in case.size[1:])
            assert trace.tokens.extra == PREFIX.get(name, 1)
    with torch.no_grad():
        plain = class_scores(model(images), case.reading.output, "", len(images))
    torch.testing.assert_close(logits, plain, rtol=1e-5, atol=1e-5)
    assert fingerprint(model) == before
    windowed = case.refusal == "NoGlobalAttention"
    assert len(trace.attentions) == EXPECTED_COUNT.get(name, 4 if windowed else 3)
    assert all(a.name in dict(model.named_modules()) and a.name for a in trace.attentions)
    for attention, gradient in zip(trace.attentions, gradients, strict=True):
        assert gradient.shape == attention.weights.shape
        # Hugging Face runs SigLIP's pooling head, and classifies without it
        assert gradient.any() != (attention.tokens is None and name.startswith("hf_siglip")), "a gradient is missing"
        if name != "timm_cait":  # talking heads mix the weights after softmax
            torch.testing.assert_close(attention.scores.softmax(-1), attention.weights)


@pytest.mark.parametrize("pair", [("timm_vit", "timm_vit_unfused"), ("hf_vit_sdpa", "hf_vit_eager")])
def test_fused_and_written_out_attention_are_the_same(pair: tuple[str, str]) -> None:
    traces = [observe(CASES[name].model(), CASES[name].images()) for name in pair]
    for fused, written in zip(traces[0].attentions, traces[1].attentions, strict=True):
        assert fused.name == written.name
        torch.testing.assert_close(fused.scores, written.scores, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(fused.weights, written.weights, rtol=1e-4, atol=1e-6)


def test_gradients_are_those_of_plain_autograd() -> None:
    """Adding ε to one weight of one layer changes the class score by ε times the recorded gradient."""
    model, images = CASES["timm_vit"].model().double(), CASES["timm_vit"].images(1).double()
    trace = observe(model, images)
    direction = F.one_hot(torch.tensor([3]), trace.logits.shape[1]).double()
    gradient = trace.gradients(direction)[1]
    block, change = model.blocks[1], torch.zeros_like(gradient)
    change[0, 1, 0, 5] = 1e-6

    def nudged(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        values = module.qkv(args[0]).unflatten(-1, (3, 2, 16)).permute(2, 0, 3, 1, 4)[2]
        return output + (change @ values).transpose(1, 2).flatten(2) @ module.proj.weight.mT

    handle = block.attn.register_forward_hook(nudged)
    with torch.no_grad():
        moved = model(images)[0, 3]
    handle.remove()
    slope = (moved - trace.logits[0, 3]) / 1e-6
    torch.testing.assert_close(slope, gradient[0, 1, 0, 5], rtol=1e-4, atol=1e-8)


def test_layers_are_kept_on_the_graph() -> None:
    model, images = CASES["timm_vit"].model().requires_grad_(False), CASES["timm_vit"].images()
    trace = observe(model, images, layers=["blocks.1", "patch_embed"])
    assert {name: tuple(t.shape) for name, t in trace.layers.items()} == {
        "blocks.1": (2, 17, 32),
        "patch_embed": (2, 16, 32),
    }
    (gradient,) = torch.autograd.grad(trace.logits.sum(), trace.layers["blocks.1"])
    assert gradient.any()
    with pytest.raises(UnknownName, match=r'no layer named "block.1". Did you mean "blocks.1"\?'):
        observe(model, images, layers=["block.1"])


def test_multi_head_attention_still_gives_the_weights_it_was_asked_for() -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True).eval()

    class Asks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = attention

        def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            mixed, average = self.attention(tokens, tokens, tokens)
            _, each = self.attention(tokens[0], tokens[0], tokens[0], average_attn_weights=False)
            return mixed, average, each

    tokens = torch.randn(1, 5, 8)
    plain, trace = Asks()(tokens), observe(Asks(), tokens)
    for expected, got in zip(plain, trace.output, strict=True):
        assert expected.shape == got.shape
        torch.testing.assert_close(expected, got)
    assert [a.weights.shape for a in trace.attentions] == [(1, 2, 5, 5), (1, 2, 5, 5)]


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("mask", [None, "bool", "bias"])
def test_masks_and_groups_mean_what_torch_says(mask: str | None, is_causal: bool) -> None:
    if mask and is_causal:
        return  # torch refuses the pair itself

    class Attends(nn.Module):
        def forward(self, tokens: Tensor) -> Tensor:
            bias = {None: None, "bool": torch.ones(5, 5).tril(1).bool(), "bias": torch.arange(25.0).view(5, 5) / 9}[
                mask
            ]
            key = value = tokens[:, :2]
            return F.scaled_dot_product_attention(
                tokens, key, value, attn_mask=bias, is_causal=is_causal, scale=0.3, enable_gqa=True
            )

    tokens = torch.randn(1, 4, 5, 8)
    torch.testing.assert_close(observe(Attends(), tokens).output, Attends()(tokens))


@pytest.mark.slow
def test_compiled_models_are_seen_through() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    expected = Rollout()(model, images).heatmap
    compiled = torch.compile(CASES["timm_vit"].model(), backend="eager")
    in_place = CASES["timm_vit"].model()
    in_place.blocks[0].compile(backend="eager")
    for other in (compiled, in_place):
        with torch.no_grad():
            other(images)  # compiled before it is explained
        torch.testing.assert_close(Rollout()(other, images).heatmap, expected)


@pytest.mark.filterwarnings("ignore")
def test_scripted_models_are_refused() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    with pytest.raises(NothingObserved, match="TorchScript"):
        observe(torch.jit.trace(model, images), images)


def test_gradient_checkpointing_is_refused() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    model.set_grad_checkpointing(True)
    with pytest.raises(ObservationError, match="gradient checkpointing"):
        Rollout()(model, images)


def test_a_second_thread_on_the_same_model_does_not_disturb() -> None:
    model, images = CASES["timm_vit"].model(), CASES["timm_vit"].images()
    expected = [a.name for a in observe(model, images).attentions]
    stop = threading.Event()

    def forwards() -> None:
        while not stop.is_set():
            with torch.no_grad():
                model(images)

    other = threading.Thread(target=forwards)
    other.start()
    try:
        for _ in range(5):
            assert [a.name for a in observe(model, images).attentions] == expected
    finally:
        stop.set()
        other.join()


def test_a_softmax_that_multiplies_nothing_is_no_attention() -> None:
    class Gate(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return (images.softmax(-1) * images).flatten(1)

    with pytest.raises(NothingObserved, match="`Gate` ran without any attention"):
        observe(Gate(), torch.randn(1, 3, 8, 8))


def test_a_sequence_model_has_attention_but_no_grid() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, batch_first=True)
    trace = observe(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), torch.randn(1, 5, 8))
    assert len(trace.attentions) == 2
    with pytest.raises(NoTokenGrid, match=r"an input of 3 axes, \(1, 5, 8\), which is no batch of pictures"):
        _ = trace.tokens
    with pytest.raises(ModelError, match=r"a tensor of shape \(1, 5, 8\) for one image, not \(batch, classes\) logits"):
        _ = trace.logits


def test_integers_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"got torch.int32"):
        observe(CASES["timm_vit"].model(), CASES["timm_vit"].images().int())
