"""Attention that a model writes out its own way: which axis its product sums over, and whether queries are tokens."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn

from tests.contract.zoo import CLASSES
from vitreous.errors import NoGlobalAttention, NothingObserved
from vitreous.interact.indicator import interactions
from vitreous.methods import make_method
from vitreous.trace.observe import observe
from vitreous.trace.restrict import restricted_logits

Mix = Callable[[Tensor, Tensor], Tensor]
"""From weights (batch, heads, queries, keys) and values (batch, heads, keys, width) to what attention returns."""


class _Plain(nn.Module):
    """A ViT of two blocks, width 32 and one way to multiply weights by values; 16 patches of 8 pixels."""

    def __init__(self, mix: Mix, end: Callable[[int], nn.Module] = nn.Identity) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, 32, 8, 8)
        self.token = nn.Parameter(torch.randn(1, 1, 32))
        self.attend = nn.ModuleList(nn.Linear(32, 96) for _ in range(2))
        self.project = nn.ModuleList(nn.Sequential(end(32), nn.Linear(32, 32)) for _ in range(2))
        self.head = nn.Linear(32, CLASSES)
        self.mix = mix

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).mT
        tokens = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], 1)
        for attend, project in zip(self.attend, self.project, strict=True):
            queries, keys, values = attend(tokens).unflatten(2, (3, 2, 16)).permute(2, 0, 3, 1, 4)
            weights = (queries @ keys.mT / 4).softmax(-1)
            tokens = tokens + project(self.mix(weights, values).transpose(1, 2).flatten(2))
        return self.head(tokens[:, 0])


TURNED: dict[str, Mix] = {
    "product": lambda weights, values: (values.transpose(-2, -1) @ weights.transpose(-2, -1)).transpose(-2, -1),
    "property": lambda weights, values: (values.mT @ weights.mT).mT,
    "copy": lambda weights, values: (values.mT @ weights.permute(0, 1, 3, 2).contiguous()).mT,
    "einsum": lambda weights, values: torch.einsum("b h k q, b h k d -> b h q d", weights.swapaxes(2, 3), values),
    "adjoint": lambda weights, values: (values.adjoint() @ weights.mH).swapdims(2, 3),
    "moved axes": lambda weights, values: (values.movedim(3, 2) @ torch.moveaxis(weights, 3, 2)).movedim(2, 3),
    "by keywords": lambda weights, values: torch.matmul(input=weights, other=values),
    "linalg": lambda weights, values: torch.linalg.matmul(weights.double().type_as(values), values),
    "views": lambda weights, values: weights.unsqueeze(0).squeeze(0).view_as(weights).reshape_as(weights) @ values,
    "einsum, values first": lambda weights, values: torch.einsum("bhkd,bhqk->bhqd", values, weights),
}


@pytest.mark.parametrize("how", TURNED)
@pytest.mark.parametrize("name", ["rollout", "generic_attention", "raw_attention"])
def test_weights_that_are_turned_before_they_multiply(how: str, name: str) -> None:
    """As in attention on feature maps: what is recorded has its queries first, whichever way they stand at last."""
    images, method = torch.randn(1, 3, 32, 32, dtype=torch.float64), make_method(name)
    expected = method(_Plain(torch.matmul).double(), images).heatmap
    torch.testing.assert_close(method(_Plain(TURNED[how]).double(), images).heatmap, expected)


@pytest.mark.parametrize("how", TURNED)
def test_values_of_turned_weights(how: str) -> None:
    images = torch.randn(1, 3, 32, 32)
    for seen in observe(_Plain(TURNED[how]), images).attentions:
        assert seen.values is not None
        torch.testing.assert_close(seen.weights.sum(-1), torch.ones(1, 2, 17))
        assert (seen.values.shape, seen.tokens) == ((1, 2, 17, 16), 17)


def test_a_sum_over_queries_is_no_attention() -> None:
    model = _Plain(lambda weights, values: (values.mT @ weights).mT)
    with pytest.raises(NothingObserved):
        observe(model, torch.randn(1, 3, 32, 32))


def _xcit(width: int, *, fused: bool) -> nn.Module:
    """Attention among as many channels as a head is wide; 16 patches."""
    sizes = {"img_size": 32, "embed_dim": 2 * width, "depth": 2, "num_heads": 2, "num_classes": CLASSES}
    model = timm.create_model("xcit_nano_12_p8_224", **sizes)
    for block in model.blocks:
        block.attn.fused_attn = fused
    return model.eval()


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("width", [8, 16, 32])  # fewer channels than patches, as many, more
def test_channels_that_attend_to_each_other_are_no_tokens(width: int, fused: bool) -> None:
    model, images = _xcit(width, fused=fused), torch.randn(1, 3, 32, 32)
    for name in ("ag_cam", "rollout", "legrad"):
        with pytest.raises(NoGlobalAttention, match=r"`Xcit`.*channel attention"):
            make_method(name)(model, images)
    with pytest.raises(NoGlobalAttention, match=r"`Xcit`.*channel attention"):
        interactions(model, images)
    assert make_method("eigen_cam")(model, images).heatmap.shape == (1, 4, 4)


def test_channels_that_attend_to_each_other_cannot_be_restricted() -> None:
    with pytest.raises(NoGlobalAttention, match=r"`Xcit`.*channel attention"):
        restricted_logits(_xcit(16, fused=True), torch.randn(1, 3, 32, 32), {})


@pytest.mark.parametrize("end", [nn.Identity, nn.LayerNorm])
def test_tokens_whose_values_are_as_wide_as_the_picture_has_patches(end: Callable[[int], nn.Module]) -> None:
    """Sixteen channels a head and sixteen patches: only what follows shows which axis is which."""
    trace = observe(_Plain(torch.matmul, end), torch.randn(1, 3, 32, 32))
    assert [seen.tokens for seen in trace.global_attentions] == [17, 17]


class _OnMaps(nn.Module):
    """Attention on feature maps, between convolutions: among 16 positions, or among the 16 channels of a head."""

    def __init__(self, *, channels: bool) -> None:
        super().__init__()
        self.patches, self.attend, self.project = nn.Conv2d(3, 32, 8, 8), nn.Conv2d(32, 96, 1), nn.Conv2d(32, 32, 1)
        self.channels = channels

    def forward(self, images: Tensor) -> Tensor:
        maps = self.patches(images)
        queries, keys, values = self.attend(maps).flatten(2).unflatten(1, (3, 2, 16)).unbind(1)
        if self.channels:
            mixed = (queries @ keys.mT).softmax(-1) @ values
        else:
            mixed = values @ (queries.mT @ keys).softmax(-1).mT
        return self.project(mixed.reshape(maps.shape)).mean((2, 3))


def test_what_a_convolution_takes_shows_the_channels_too() -> None:
    images = torch.randn(1, 3, 32, 32)
    with pytest.raises(NoGlobalAttention, match=r"`_OnMaps`.*channel attention"):
        _ = observe(_OnMaps(channels=True), images).global_attentions
    assert observe(_OnMaps(channels=False), images).global_attentions[0].tokens == 16


@pytest.mark.parametrize("name", ["coat_lite_tiny", "coat_tiny"])
def test_factorized_attention_is_none_between_tokens(name: str) -> None:
    """A softmax of the keys over the tokens, times the values: channels by channels, which the queries then read."""
    small = {"embed_dims": (16, 16, 16, 16), "serial_depths": (1, 1, 1, 1), "num_classes": CLASSES}
    model, images = timm.create_model(name, img_size=64, **small).eval(), torch.randn(1, 3, 64, 64)
    for method in ("ag_cam", "rollout", "attcat"):
        with pytest.raises(NothingObserved, match=r"`CoaT`.*factorized attention.*`grad_cam`.*`rise`"):
            make_method(method)(model, images)
    meeting_in_none = {"coat_tiny": "parallel_blocks.5"}  # its scales reach the class scores side by side
    assert make_method("eigen_cam", layer=meeting_in_none.get(name, ""))(model, images).heatmap.any()
