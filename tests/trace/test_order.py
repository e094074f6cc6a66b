"""Tokens that change places between attentions, with the picture or among the images of a batch, are refused."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import vitreous
from tests.contract.written import vit
from tests.contract.zoo import CASES
from tests.quick import quick
from vitreous.errors import NoTokenGrid, ObservationError
from vitreous.trace import recorder
from vitreous.trace.recorder import record

METHODS = ("raw_attention", "ag_cam", "rollout", "grad_cam", "attcat", "legrad")
FEW = quick(METHODS, ["raw_attention", "ag_cam", "grad_cam"])
SHUFFLED = torch.cat([torch.zeros(1).long(), 1 + torch.randperm(12, generator=torch.Generator().manual_seed(3))])


class Moving(nn.Module):
    """A ViT of a class token and 3 × 4 patches, whose tokens are moved before and after each of its blocks."""

    def __init__(
        self, before: Callable[[Tensor, int], Tensor], after: Callable[[Tensor, int], Tensor] = lambda tokens, _: tokens
    ) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.embedding = nn.Conv2d(3, 16, 8, 8)
        self.token, self.positions = nn.Parameter(torch.zeros(1, 1, 16)), nn.Parameter(torch.zeros(1, 13, 16))
        self.blocks = nn.ModuleList(timm.models.vision_transformer.Block(16, 2) for _ in range(3))
        self.head = nn.Linear(16, 5)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.3, generator=generator)
        self.before, self.after, self.read = before, after, 0

    def forward(self, images: Tensor) -> Tensor:
        patches = self.embedding(images).flatten(2).mT
        tokens = torch.cat([self.token.expand(len(patches), -1, -1), patches], 1) + self.positions
        for at, block in enumerate(self.blocks):
            tokens = self.after(block(self.before(tokens, at)), at)
        return self.head(tokens[:, self.read])


def images(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, 24, 32, generator=torch.Generator().manual_seed(1))


def only(at: int, move: Callable[[Tensor], Tensor]) -> Callable[[Tensor, int], Tensor]:
    return lambda tokens, block: move(tokens) if block == at else tokens


def _patches(move: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda tokens: torch.cat([tokens[:, :1], move(tokens[:, 1:])], 1)


def _turned(patches: Tensor) -> Tensor:
    return patches.unflatten(1, (3, 4)).transpose(1, 2).flatten(1, 2)


def _sorted(tokens: Tensor) -> Tensor:
    order = 1 + tokens[:, 1:].norm(dim=-1).argsort(1)
    return tokens.gather(1, torch.cat([order[:, :1] * 0, order], 1)[..., None].expand_as(tokens))


PERMUTATION = torch.eye(13)[SHUFFLED]

BETWEEN = {
    "by a matrix": lambda tokens: PERMUTATION @ tokens,
    "by a matrix of the patches": _patches(PERMUTATION[1:, 1:].matmul),
    "by a linear map": lambda tokens: F.linear(tokens.mT, PERMUTATION).mT,
    "by a matrix behind": lambda tokens: (tokens.transpose(1, 2) @ PERMUTATION.T).transpose(1, 2),
    "by a sum": lambda tokens: torch.einsum("mn,bnd->bmd", PERMUTATION, tokens),
    "by a batch of matrices": lambda tokens: torch.bmm(PERMUTATION.expand(len(tokens), -1, -1), tokens),
    "by a convolution of one": lambda tokens: F.conv1d(tokens, PERMUTATION[..., None]),
    "flipped": _patches(lambda patches: patches.flip(1)),
    "rolled": _patches(lambda patches: patches.roll(5, 1)),
    "rolled by one": _patches(lambda patches: patches.roll(1, 1)),
    "a class token that moves": lambda tokens: torch.cat([tokens[:, 1:], tokens[:, :1]], 1),
    "halves that change places": _patches(lambda patches: torch.cat([patches[:, 6:], patches[:, :6]], 1)),
    "rows for columns": _patches(_turned),
    "by an index": lambda tokens: tokens[:, SHUFFLED],
}


@pytest.mark.parametrize("kind", BETWEEN)
@pytest.mark.parametrize("block", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_order_that_changes_is_refused(kind: str, block: int) -> None:
    model = Moving(only(block, BETWEEN[kind])).eval()
    for method in METHODS if kind == "flipped" and block == 1 else METHODS[:1]:
        with pytest.raises(NoTokenGrid, match=rf"in another order at `blocks\.{block}\.attn` than at its first"):
            vitreous.explain(model, images(), method, target=0)


def test_an_order_that_is_taken_back_too_late_is_refused() -> None:
    """The last attention is as the first; the one between is not."""
    flip = BETWEEN["flipped"]
    with pytest.raises(NoTokenGrid, match=r"in another order at `blocks\.1\.attn`"):
        vitreous.explain(Moving(only(1, flip), only(1, flip)).eval(), images(), "rollout")


@pytest.mark.parametrize("method", FEW)
def test_an_order_that_is_kept_gives_the_same_map(method: str) -> None:
    """Shuffled before the first attention and back after the last, or there and back between two."""
    expected = vitreous.explain(Moving(lambda tokens, _: tokens).eval(), images(), method, target=0).heatmap
    back = SHUFFLED.argsort()
    once = Moving(only(0, lambda tokens: tokens[:, SHUFFLED]), only(2, lambda tokens: tokens[:, back]))
    twice = Moving(only(1, lambda tokens: tokens.flip(1).flip(1)))
    for model in (once, twice):
        found = vitreous.explain(model.eval(), images(), method, target=0).heatmap
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_it_is_measured_in_any_precision(dtype: torch.dtype) -> None:
    kept = Moving(only(1, lambda tokens: tokens.flip(1).flip(1))).eval().to(dtype)
    vitreous.explain(kept, images().to(dtype), "raw_attention")
    with pytest.raises(NoTokenGrid, match="in another order"):
        vitreous.explain(Moving(only(1, BETWEEN["rolled"])).eval().to(dtype), images().to(dtype), "raw_attention")


@pytest.mark.parametrize("method", FEW)
def test_an_order_that_depends_on_the_picture_is_refused(method: str) -> None:
    said = r"lie on no grid|depends on the picture|in another order|mirrored or turned|does not follow it row by row"
    with pytest.raises(NoTokenGrid, match=said):
        vitreous.explain(Moving(only(0, _sorted)).eval(), images(), method, target=0)


def test_written_out_attention_is_measured_too() -> None:
    case = CASES["timm_vit_unfused"]
    model, pictures = deepcopy(case.model()), case.images()
    expected = vitreous.explain(model, pictures, "raw_attention").heatmap
    block = model.get_submodule("blocks.1")
    twice = block.register_forward_pre_hook(lambda _, given: (given[0].flip(1).flip(1),))
    torch.testing.assert_close(vitreous.explain(model, pictures, "raw_attention").heatmap, expected)
    twice.remove()
    block.register_forward_pre_hook(lambda _, given: (given[0].flip(1),))
    with pytest.raises(NoTokenGrid, match="in another order"):
        vitreous.explain(model, pictures, "raw_attention")


class Turned(nn.Module):
    """Sees what is made of its input."""

    def __init__(self, inner: nn.Module, turn: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.turn = inner, turn

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(self.turn(images))


class Backwards(nn.Module):
    """Sees the images of a batch from last to first, and gives what it says in their order."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(images.flip(0)).flip(0)


@pytest.mark.parametrize("method", FEW)
def test_images_that_change_places_in_a_batch_are_refused(method: str) -> None:
    model = Backwards(vit(num_classes=3)).eval()
    pictures = torch.randn(2, 3, 32, 32)
    with pytest.raises(NoTokenGrid, match="images of a batch do not stand in the order"):
        vitreous.explain(model, pictures, method, target=0)
    if method not in ("grad_cam", "legrad"):
        found = vitreous.explain(model, pictures, method, target=0, batch_size=1).heatmap
        torch.testing.assert_close(found, vitreous.explain(model.inner, pictures, method, target=0).heatmap)


def test_a_batch_that_grows_on_the_way_must_keep_its_order() -> None:
    with pytest.raises(ObservationError, match="`legrad` puts the ends of all layers through its head"):
        vitreous.explain(Backwards(vit(num_classes=3)).eval(), torch.randn(1, 3, 32, 32), "legrad", target=0)


@pytest.mark.parametrize(
    "turn", [lambda x: x.flip(-1), lambda x: x.flip(-2), lambda x: x.mT, lambda x: x.rot90(1, (2, 3))]
)
def test_a_layer_that_sees_another_side_up_is_refused(turn: Callable[[Tensor], Tensor]) -> None:
    """Its tokens say how they lie; the maps of a convolutional network do not."""
    model = Turned(timm.create_model("test_resnet", num_classes=3), turn).eval()
    with pytest.raises(NoTokenGrid, match="mirrored or turned"):
        vitreous.explain(model, torch.randn(1, 3, 64, 64), "eigen_cam")


def test_models_that_keep_their_order_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows, rotary positions and tables of positions are no orders that change."""

    def measured(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(recorder, "check_order", measured)
    for name in ("timm_vit", "timm_vit_unfused", "timm_dinov3", "timm_eva02", "timm_beit", "hf_deit_eager", "hf_yolos"):
        _ = record(CASES[name].model(), CASES[name].images()).tokens


def test_two_patches_that_change_places_are_told() -> None:
    class Swaps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = vit()

        def forward(self, pictures: Tensor) -> Tensor:
            tokens = self.inner._pos_embed(self.inner.patch_embed(pictures))
            tokens = self.inner.blocks[0](tokens)
            order = list(range(tokens.shape[1]))
            order[6:8] = order[7], order[6]
            tokens = tokens[:, order]
            for block in self.inner.blocks[1:]:
                tokens = block(tokens)
            return self.inner.forward_head(self.inner.norm(tokens))

    pictures = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for dtype in (torch.float32, torch.bfloat16):
        with pytest.raises(NoTokenGrid, match=r"stand in another order at `inner.blocks.1.attn` than at its first"):
            vitreous.explain(Swaps().to(dtype), pictures.to(dtype), method="rollout")
