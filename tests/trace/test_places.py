"""Where tokens lie is measured: the same weights give the same map, however their tokens are ordered."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

import vitreous
from tests.contract.written import Ordered, vit
from tests.quick import quick
from vitreous.errors import DegenerateMap, NoClassScores, NoTokenGrid, ObservationError
from vitreous.interact.indicator import interactions
from vitreous.interact.patch_removal import prune
from vitreous.methods import make_method
from vitreous.methods.method import Method
from vitreous.trace.observed import TokenGrid
from vitreous.trace.order import check_order
from vitreous.trace.places import grid_of, measure_tokens
from vitreous.trace.reading import Reading, reading
from vitreous.trace.restrict import restricted_logits
from vitreous.trace.target import Classes

SIZE = (32, 48)
SHUFFLED = torch.randperm(24, generator=torch.Generator().manual_seed(3))


def made(**how: Any) -> nn.Module:
    """A ViT that puts its tokens in any order, and the same weights whatever the order."""
    plain = Ordered("crp", grid=(4, 6), classes=5)
    generator = torch.Generator().manual_seed(0)
    for parameter in plain.parameters():
        nn.init.normal_(parameter, std=0.2 if parameter.ndim > 1 else 1.0, generator=generator)
    model = Ordered(**{"sequence": "crp", "grid": (4, 6), "classes": 5, **how})
    weights = plain.state_dict()
    weights["patches.weight"] = weights["patches.weight"].view_as(model.patches.weight)
    model.load_state_dict(weights)
    return model.eval().double()


def images(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, *SIZE, generator=torch.Generator().manual_seed(1)).double()


KINDS: dict[str, dict[str, Any]] = {
    "registers at the end": {"sequence": "cpr"},
    "class token at the end": {"sequence": "rpc", "from_end": True},
    "all at the end": {"sequence": "prc", "from_end": True},
    "class token in the middle": {"sequence": "r1c2"},
    "linear on unfolded pixels": {"unfolded": True},
    "column by column": {"order": torch.arange(24).view(4, 6).T.flatten().tolist()},
    "shuffled": {"order": SHUFFLED.tolist(), "sequence": "cpr"},
}
METHODS: dict[str, dict[str, Any]] = {
    "ag_cam": {},
    "ablation_cam": {},
    "attcat": {},
    "attention_grad_cam": {},
    "bt_head": {"steps": 2},
    "bt_token": {"steps": 2},
    "generic_attention": {},
    "grad_cam": {},
    "legrad": {},
    "mgrw": {"walks": 10, "length": 5, "fill": "mean"},
    "patch_posterior": {"masks": 16},
    "raw_attention": {},
    "rollout": {},
    "tam": {"steps": 2},
    "tis": {"masks": 8},
    "transformer_attribution": {},
    "vit_cx": {},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_grid_is_found(kind: str) -> None:
    model = made(**KINDS[kind])
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        tokens = measure_tokens(copy.deepcopy(model).to(dtype), images().to(dtype))
        assert (tokens.height, tokens.width, tokens.extra) == (4, 6, 5)
        patches = tokens.of_patches(torch.arange(29))
        sequence = KINDS[kind].get("sequence", "crp")
        letters = "".join(
            {"c": "c", "r": "rrrr", "p": "p" * 24, "1": "p" * 10, "2": "p" * 14}[part] for part in sequence
        )
        places = torch.tensor([at for at, letter in enumerate(letters) if letter == "p"])
        order = torch.tensor(KINDS[kind].get("order", range(24)))
        assert torch.equal(patches, places[order.argsort()])


@pytest.mark.parametrize("method", quick(METHODS, ["ag_cam", "grad_cam", "rollout"]))
def test_the_same_weights_give_the_same_map(method: str) -> None:
    explain, pictures = make_method(method, **METHODS[method]), images()
    target = _with_a_map(explain, made(), pictures)
    expected = explain(made(), pictures, target)
    scale = expected.heatmap.abs().max().item()
    for kind, how in KINDS.items():
        if kind == "class token in the middle" and method == "tis":
            with pytest.raises(ObservationError, match="`Ordered` has tokens between its patches"):
                explain(made(**how), pictures, target)
            continue
        found = explain(made(**how), pictures, target)
        torch.testing.assert_close(found.logits, expected.logits, rtol=1e-9, atol=1e-9)
        difference = (found.heatmap - expected.heatmap).abs().max().item()
        assert difference <= 1e-5 * scale, kind


def _with_a_map(explain: Method, model: nn.Module, pictures: Tensor) -> Classes:
    """A class of which a ReLU leaves something."""
    for target in (Classes((at,)) for at in range(5)):
        try:
            explain(model, pictures, target)
        except DegenerateMap:
            continue
        return target
    raise AssertionError("no class of this model has a map")


KEPT = torch.rand(1, 24, 24, generator=torch.Generator().manual_seed(0)) < 0.3
BY = ("lowest", "class_attention")


@pytest.fixture(scope="module")
def plain() -> dict[str, Tensor]:
    """What comes of the model whose tokens stand as usual."""
    model, pictures = made(), images()
    return {
        "strength": interactions(model, pictures).strength,
        "restricted": restricted_logits(model, pictures, {1: KEPT}),
        **{by: prune(model, 0.5, by)(pictures) for by in BY},
    }


@pytest.mark.parametrize("kind", KINDS)
def test_interactions_masks_and_removal_go_by_the_places(kind: str, plain: dict[str, Tensor]) -> None:
    model, pictures = made(**KINDS[kind]), images()
    torch.testing.assert_close(interactions(model, pictures).strength, plain["strength"])
    torch.testing.assert_close(restricted_logits(model, pictures, {1: KEPT}), plain["restricted"])
    if kind == "class token in the middle":
        with pytest.raises(ObservationError, match="tokens between its patches, 0, 1, 2, 3, 14 of 29"):
            prune(model, 0.5)(pictures)
        return
    for by in BY:
        torch.testing.assert_close(prune(model, 0.5, by)(pictures), plain[by])


@pytest.mark.parametrize("sequence", ["pc", "prc", "pcr"])
def test_a_token_that_is_read_by_its_place_is_not_moved(sequence: str) -> None:
    """Without some patches before it, another would be there, or none."""
    model = made(sequence=sequence)
    for kept in (0.5, 0.9):
        with pytest.raises(
            ObservationError, match=r"does not read the same of its \d extra tokens without some of the 24"
        ):
            make_method("tis", masks=8, kept=kept)(model, images())
    with pytest.raises(ObservationError, match="it goes by their places"):
        prune(model, 0.25)(images())


def test_what_is_said_is_taken() -> None:
    model, pictures = made(**KINDS["registers at the end"]), images()
    with reading(Reading(grid=(4, 6), patches=slice(1, 25))):
        assert measure_tokens(model, pictures) == TokenGrid.of(29, (4, 6), range(1, 25))
    with reading(Reading(grid=(4, 6), patches=tuple(range(-28, -4)))):
        assert measure_tokens(model, pictures) == TokenGrid.of(29, (4, 6), range(1, 25))
    with reading(Reading(grid=(2, 12))):  # the patches are measured
        assert measure_tokens(model, pictures) == TokenGrid.of(29, (2, 12), range(1, 25))
    with reading(Reading(grid=(4, 7))), pytest.raises(NoTokenGrid, match="28 cells, but 24 of 29 tokens are patches"):
        measure_tokens(model, pictures)
    with reading(Reading(patches=(1, 1))), pytest.raises(NoTokenGrid, match=r"each once; got 1, 1\. Count from"):
        measure_tokens(model, pictures)


class Cropped(nn.Module):
    """Sees only the middle of its input."""

    def __init__(self, inner: nn.Module, margin: int) -> None:
        super().__init__()
        self.inner, self.margin = inner, margin

    def forward(self, pictures: Tensor) -> Tensor:
        return self.inner(pictures[..., self.margin : -self.margin, self.margin : -self.margin])


@pytest.mark.parametrize("margin", [8, 16])
def test_patches_that_do_not_cover_the_picture_are_refused(margin: int) -> None:
    pictures = torch.randn(1, 3, SIZE[0] + 2 * margin, SIZE[1] + 2 * margin).double()
    with pytest.raises(NoTokenGrid, match=r"24 of the 29 tokens that attend in `Cropped` move.*grid=\(height, width\)"):
        make_method("rollout")(Cropped(made(), margin), pictures)


def test_an_input_that_is_no_picture_is_refused_in_true_words() -> None:
    class Video(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = made()

        def forward(self, frames: Tensor) -> Tensor:
            return self.inner(frames[:, :, 0])

    with pytest.raises(NoTokenGrid, match=r"5 axes, \(1, 3, 2, 32, 48\), which is no batch of pictures.*one frame"):
        measure_tokens(Video(), torch.randn(1, 3, 2, *SIZE).double())


@pytest.mark.parametrize("name", ["vit_tiny_r_s16_p8_224", "levit_128s", "visformer_tiny"])
def test_stems_that_overlap(name: str) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False).eval()
    tokens = measure_tokens(model, torch.randn(1, 3, 224, 224))
    side = 7 if "r_s16" in name else 14
    assert (tokens.height, tokens.width, tokens.order) == (side, side, ())


def test_a_blank_picture_and_large_numbers_change_nothing() -> None:
    model = made()
    for pictures in (images() * 0, images() * 0 + 3, images() * 1000):
        assert measure_tokens(model, pictures) == TokenGrid(5, 4, 6)


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (3, 5), (14, 14), (24, 24)])
def test_places_on_a_grid_in_any_order(size: tuple[int, int]) -> None:
    rows, columns = ((torch.arange(each) + 0.5) * 2 / each - 1 for each in size)
    down, right = rows.repeat_interleave(size[1]), columns.repeat(size[0])
    order = torch.randperm(len(down))
    noise = (torch.rand(2, len(down)) - 0.5) * 0.3 / torch.tensor(size)[:, None]
    found = grid_of(down[order] + noise[0], right[order] + noise[1])
    assert found is not None
    assert found[0] == size
    assert torch.equal(order[found[1]], torch.arange(len(down)))


def test_places_that_are_no_grid() -> None:
    assert grid_of(torch.rand(24), torch.rand(24)) is None
    assert grid_of(torch.zeros(16), torch.zeros(16)) is None
    assert grid_of(torch.linspace(-0.8, 0.8, 7), torch.linspace(-0.8, 0.8, 7)) is None


class _Coarser(nn.Module):
    """Runs a model in bfloat16 by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = made().float()

    def forward(self, pictures: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.inner(pictures)


def test_a_model_that_goes_on_in_a_coarser_type() -> None:
    assert measure_tokens(_Coarser(), images().float()) == TokenGrid(5, 4, 6)


class _Mute(nn.Module):
    def forward(self, pictures: Tensor) -> None:
        pictures.mean()


def test_a_model_that_returns_nothing_is_told_so() -> None:
    with pytest.raises(NoClassScores, match="`NoneType` without any numbers"):
        make_method("rollout")(_Mute(), images())


class _Choosing(nn.Module):
    """Goes on, from a block, with 17 tokens and 15 in turn."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.inner, self.block, self.many = vit(), block, itertools.cycle((17, 15))

    def forward(self, pictures: Tensor) -> Tensor:
        tokens = self.inner._pos_embed(self.inner.patch_embed(pictures))
        for at, block in enumerate(self.inner.blocks):
            tokens = block(tokens[:, : next(self.many)] if at == self.block else tokens)
        return self.inner.forward_head(self.inner.norm(tokens))


def test_a_number_of_tokens_that_changes_is_told() -> None:
    pictures = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with pytest.raises(NoTokenGrid, match=r"what attends in `_Choosing` is \(17, 32\) in one run and \(15, 32\)"):
        measure_tokens(_Choosing(0), pictures)
    with pytest.raises(NoTokenGrid, match=r"between 17 tokens 2 times in one run and 1 times in another"):
        check_order(_Choosing(1), pictures, TokenGrid(1, 4, 4), lambda _at, _name: True)


def test_a_pale_picture_shows_places_in_16_bits() -> None:
    model = vitreous.load(dtype=torch.bfloat16).model
    picture = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(0)) / 3 - 0.12
    for share in (1.0, 0.05, 0.02):
        tokens = measure_tokens(model, (picture * share).to(torch.bfloat16))
        assert (tokens.height, tokens.width, tokens.extra) == (8, 8, 1)
