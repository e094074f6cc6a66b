"""Several passes through encoders: the one that is chosen is read as if the others were constants, or none is."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import vitreous
from tests.contract.libraries import CLASSES
from tests.contract.written import Ensemble, Siamese, Wrapped, vit
from tests.contract.zoo import CASES, Case
from tests.quick import quick
from vitreous.errors import (
    DegenerateMap,
    NoGlobalAttention,
    NothingObserved,
    NoTokenGrid,
    ObservationError,
    UnknownName,
)
from vitreous.methods import METHODS, make_method
from vitreous.trace.layer import find_layer
from vitreous.trace.reading import Reading, reading
from vitreous.trace.recorder import record

IMAGES = CASES["siamese"].images().double()
# what reads attention, tokens or layers of one forward pass
READ = [
    "ag_cam",
    "attcat",
    "attention_grad_cam",
    "bt_head",
    "bt_token",
    "eigen_cam",
    "generic_attention",
    "grad_cam",
    "hires_cam",
    "layer_cam",
    "raw_attention",
    "relevance_cam",
    "rollout",
    "tam",
    "transformer_attribution",
]
# what also runs the model on changed pictures or layers
CHANGED = ["ablation_cam", "mgrw", "patch_posterior", "score_cam", "vit_cx"]
FEW: dict[str, dict[str, Any]] = {
    "bt_head": {"steps": 2},
    "bt_token": {"steps": 2},
    "mgrw": {"walks": 10, "length": 5, "fill": "mean", "score": "logit"},
    "patch_posterior": {"masks": 16},
    "tam": {"steps": 2},
    "tis": {"masks": 8},
}
WAYS: dict[str, dict[str, Any]] = {
    "call": {"call": 0},
    "part and call": {"part": "encoder", "call": 0},
}


def explain(model: nn.Module, method: str, images: Tensor = IMAGES, **how: Any) -> Tensor:
    """Of the first class of which a ReLU leaves something."""
    for target in range(CLASSES):
        try:
            return vitreous.explain(model, images, method, target, **FEW.get(method, {}), **how).heatmap
        except DegenerateMap:
            continue
    raise AssertionError("no class of this model has a map")


def made(build: Callable[[], nn.Module]) -> Any:
    """With weights as those of the contract's models."""
    return Case(build).model().double()


def alone(siamese: Any) -> nn.Module:
    """The same function of the first picture, the second's features being numbers."""
    other = siamese.encoder(siamese.other).detach()
    return Wrapped(siamese.encoder, lambda own: siamese.head(torch.cat([own, other.expand_as(own)], 1)))


@pytest.mark.parametrize("method", quick(READ + CHANGED))
def test_one_of_two_pictures_has_its_own_map(method: str) -> None:
    model = made(Siamese)
    expected = explain(alone(model), method)
    with pytest.raises(ObservationError, match=r"Say which .*call=0.* for the first"):
        explain(model, method)
    for how in WAYS.values():
        torch.testing.assert_close(explain(model, method, **how), expected)
    assert not torch.equal(expected[0], expected[1])


@pytest.mark.parametrize("method", ["raw_attention", "rollout"])
def test_the_other_picture_is_no_picture_of_this_input(method: str) -> None:
    """Its tokens do not move with what is explained, so nothing of it can be laid on that."""
    with pytest.raises(ObservationError, match=r"none of the 17 tokens .* moves with the picture"):
        explain(made(Siamese), method, call=1)


@pytest.mark.parametrize("method", ["legrad", "tis"])
def test_what_changes_tokens_would_change_both_passes(method: str) -> None:
    with pytest.raises(ObservationError, match="also runs in a pass that is not read"):
        explain(made(Siamese), method, call=0)


class Turned(nn.Module):
    """The mean over a picture and its mirror image."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = vit()

    def forward(self, images: Tensor) -> Tensor:
        return (self.encoder(images) + self.encoder(images.flip(-1))) / 2


@pytest.mark.parametrize("method", quick(READ))
def test_a_mirror_image_s_map_lies_on_the_picture(method: str) -> None:
    model = made(Turned)
    with torch.no_grad():
        upright, mirrored = model.encoder(IMAGES), model.encoder(IMAGES.flip(-1))
    with pytest.raises(ObservationError):
        explain(model, method)
    first = Wrapped(model.encoder, lambda own: (own + mirrored[: len(own)]) / 2)
    torch.testing.assert_close(explain(model, method, call=0), explain(first, method))
    second = Wrapped(model.encoder, lambda own: (own + upright[: len(own)]) / 2)
    expected = explain(second, method, IMAGES.flip(-1)).flip(-1)
    torch.testing.assert_close(explain(model, method, call=1), expected)


@pytest.mark.parametrize("method", quick(READ, ["rollout", "grad_cam"]))
def test_one_of_an_ensemble_has_its_own_map(method: str) -> None:
    model = made(Ensemble)
    with torch.no_grad():
        says = {"first": model.first(IMAGES), "second": model.second(IMAGES)}
    with pytest.raises(ObservationError):
        explain(model, method)
    for at, (part, other) in enumerate({"first": "second", "second": "first"}.items()):
        twin = Wrapped(getattr(model, part), lambda own, other=other: (own + says[other][: len(own)]) / 2)
        expected = explain(twin, method)
        torch.testing.assert_close(explain(model, method, part=part), expected)
        torch.testing.assert_close(explain(model, method, call=at), expected)


class TwoMaps(nn.Module):
    """A convolutional network that sees a picture and its mirror image."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.head = nn.Sequential(nn.Conv2d(3, 8, 4, 4), nn.ReLU()), nn.Linear(16, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(torch.cat([self.maps(each).mean((2, 3)) for each in (images, images.flip(-1))], 1))


def test_a_network_without_attention_has_calls_too() -> None:
    model = made(TwoMaps)
    with pytest.raises(ObservationError, match="meet in no layer"):
        explain(model, "grad_cam")
    with pytest.raises(ObservationError, match=r"`maps` of `TwoMaps` runs 2 times .* call=0 for the first"):
        explain(model, "grad_cam", layer="maps")
    maps = model.maps(IMAGES).detach()
    weight = model.head.weight[0, :8].detach() / maps[0, 0].numel()
    expected = (maps * weight[:, None, None]).sum(1)
    for how in ({}, {"layer": "maps"}):
        torch.testing.assert_close(explain(model, "hires_cam", call=0, **how), expected)
        with pytest.raises(NoTokenGrid, match=r"`maps.*` of `TwoMaps` sees in this pass is mirrored or turned"):
            explain(model, "hires_cam", call=1, **how)


def test_what_only_runs_the_model_asks_for_nothing() -> None:
    model = made(Siamese)
    for method in ("input_x_gradient", "libra_grad", "attn_lrp", "lrp", "occlusion", "rise"):
        settings = {"rise": {"masks": 20}, "occlusion": {"window": 16, "stride": 8, "fill": "mean", "score": "logit"}}
        how = settings.get(method, {})
        expected = explain(alone(model), method, **how)
        torch.testing.assert_close(explain(model, method, **how), expected, rtol=1e-6, atol=1e-9)
    assert set(METHODS) >= {*READ, *CHANGED}


class Repeated(nn.Module):
    """One block, three times in depth; or three blocks of the same weights."""

    def __init__(self, *, shared: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.vit = vit(depth=1)
        block = self.vit.blocks[0]
        self.shared = shared
        if not shared:
            self.vit.blocks.extend([copy.deepcopy(block) for _ in range(2)])

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.vit._pos_embed(self.vit.patch_embed(images))
        for block in [*self.vit.blocks] * (3 if self.shared else 1):
            tokens = block(tokens)
        return self.vit.forward_head(self.vit.norm(tokens))


@pytest.mark.parametrize("method", quick(READ))
def test_one_block_many_times_in_depth_is_one_pass(method: str) -> None:
    shared, plain = made(lambda: Repeated(shared=True)), Repeated(shared=False).eval().double()
    state = shared.state_dict()
    plain.load_state_dict(
        {
            name: state[name.replace("blocks.1", "blocks.0").replace("blocks.2", "blocks.0")]
            for name in plain.state_dict()
        }
    )
    if method in ("attcat", "bt_token"):
        with pytest.raises(NoGlobalAttention, match="which is not one for each block"):
            explain(shared, method)
        return
    torch.testing.assert_close(explain(shared, method), explain(plain, method))


def test_what_is_chosen_must_be_there() -> None:
    model = made(Siamese)
    with pytest.raises(UnknownName, match=r'no call named "2"\. Known: 0, 1'):
        explain(model, "rollout", call=2)
    with pytest.raises(UnknownName, match='no part named "encode"'):
        explain(model, "rollout", part="encode")
    with pytest.raises(NothingObserved, match=r"`head` of `Siamese` ran without any attention"):
        explain(model, "rollout", part="head")


class TestDetector:
    """Queries that read what an encoder made of the picture."""

    case = CASES["hf_detr"]

    def test_the_queries_are_a_pass_of_their_own(self) -> None:
        with reading(self.case.reading):
            seen = record(self.case.model(), self.case.images())
        assert seen.passes == (0, 0, 1, 2, 2, 2)
        with pytest.raises(ObservationError, match=r"the queries of a decoder; .*`model.decoder.layers.0.self_attn`"):
            vitreous.explain(self.case.model(), self.case.images(), **self.case.how)

    def test_a_cam_reads_what_the_queries_read(self) -> None:
        with reading(self.case.reading):
            assert find_layer(self.case.model(), self.case.images()).name == "model.encoder.layers.1"

    def test_its_encoder_has_a_map(self) -> None:
        """Its tokens see the whole of a small picture, so their places must be said."""
        model, images = self.case.model(), self.case.images()
        how = dict(self.case.how, part="model.encoder", grid=(4, 4), patches=slice(0, 16))
        found = vitreous.explain(model, images, "rollout", readout="mean", **how)
        with reading(Reading(**how)):
            seen = vitreous.observe(model, images)
        product = torch.eye(16)
        for attention in seen.attentions:
            mixed = attention.weights.detach().mean(1) + torch.eye(16)
            product = mixed / mixed.sum(-1, keepdim=True) @ product
        torch.testing.assert_close(found.heatmap.flatten(1), product.mean(1))


def test_a_query_among_the_tokens_is_the_one_that_is_read() -> None:
    case = CASES["hf_yolos"]
    model, images = case.model(), case.images()
    with reading(case.reading):
        last = vitreous.observe(model, images).attentions[-1]
    expected = last.weights.detach().mean(1)[:, 1 + 16 + 3, 1:17]
    found = vitreous.explain(model, images, "raw_attention", **case.how)
    torch.testing.assert_close(found.heatmap.flatten(1), expected)
    assert found.logits is not None
    assert found.logits.shape == (2, CLASSES + 1)


@pytest.mark.parametrize("name", ["raw_attention", "ag_cam", "grad_cam", "legrad", "bt_head"])
@pytest.mark.parametrize("inside", [False, True])
def test_views_joined_along_the_batch_are_told_as_such(name: str, *, inside: bool) -> None:
    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = CASES["timm_vit"].model()
            if inside:
                self.model.patch_embed.register_forward_pre_hook(
                    lambda _, given: torch.cat([given[0], given[0].flip(3)])
                )

        def forward(self, images: Tensor) -> Tensor:
            views = images if inside else torch.cat([images, images.flip(3)])
            return self.model(views).unflatten(0, (2, -1)).mean(0)

    remedy = "a model of one view in its place" if inside else "a model of one view, the module `model` by itself"
    with pytest.raises(ObservationError, match=rf"`Views` makes 2 views of one image.*{remedy}"):
        make_method(name)(Views(), CASES["timm_vit"].images())
