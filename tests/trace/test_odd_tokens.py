"""Models written at home that merge, drop, overlap or window their tokens: a right map, or why there is none."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitreous.errors import ExplainError, NoGlobalAttention, NoTokenGrid, ObservationError
from vitreous.methods import make_method
from vitreous.trace.observed import TokenGrid
from vitreous.trace.places import measure_tokens

SIDE, WIDTH = 4, 16


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv, self.out = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(tokens)).unflatten(-1, (3, 2, WIDTH // 2)).permute(2, 0, 3, 1, 4)
        return tokens + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Plain(nn.Module):
    """A ViT of 4×4 patches that pools them; what happens between its blocks is another's."""

    def __init__(self, kernel: int = 8, padding: int = 0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, WIDTH, kernel, 8, padding)
        self.blocks, self.head = nn.ModuleList(Block() for _ in range(2)), nn.Linear(WIDTH, 3)

    def between(self, tokens: Tensor) -> Tensor:
        return tokens

    def embed(self, pictures: Tensor) -> Tensor:
        return self.patches(pictures).flatten(2).mT

    def forward(self, pictures: Tensor) -> Tensor:
        tokens = self.blocks[0](self.embed(pictures))
        return self.head(self.blocks[1](self.between(tokens)).mean(1))


class Merges(Plain):
    """As ToMe does: the four tokens most alike to another are averaged with it."""

    def between(self, tokens: Tensor) -> Tensor:
        a, b = tokens[:, ::2], tokens[:, 1::2]
        best, at = (F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).mT).max(-1)
        order = best.argsort(descending=True)
        gone, stay = (part[..., None].expand(-1, -1, WIDTH) for part in (order[:, :4], order[:, 4:]))
        into = at.gather(1, order[:, :4])[..., None].expand_as(gone)
        b = b.scatter_reduce(1, into, a.gather(1, gone), "mean", include_self=True)
        return torch.cat([a.gather(1, stay), b], 1)


class Drops(Plain):
    """Drops a quarter of its patches by chance, as PatchDropout does; or in training only."""

    def __init__(self, *, always: bool) -> None:
        super().__init__()
        self.always = always

    def embed(self, pictures: Tensor) -> Tensor:
        tokens = super().embed(pictures)
        if not (self.always or self.training):
            return tokens
        return tokens[:, torch.randperm(tokens.shape[1])[:12].sort().values]


class Windows(Plain):
    """Attends in windows of 2×2 patches, in its second block shifted by one."""

    def forward(self, pictures: Tensor) -> Tensor:
        maps = self.patches(pictures).permute(0, 2, 3, 1)
        for at, block in enumerate(self.blocks):
            maps = maps.roll((-at, -at), (1, 2))
            cut = maps.unflatten(2, (2, 2)).unflatten(1, (2, 2)).transpose(2, 3)
            cut = block(cut.reshape(-1, 4, WIDTH))
            maps = cut.view(len(pictures), 2, 2, 2, 2, WIDTH).transpose(2, 3).reshape(maps.shape).roll((at, at), (1, 2))
        return self.head(maps.mean((1, 2)))


class Unfolds(Plain):
    """Overlapping tokens, as T2T makes them: neighbors are put together, and make one token."""

    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Linear(9 * WIDTH, WIDTH)
        self.patches = nn.Conv2d(3, WIDTH, 4, 4)

    def embed(self, pictures: Tensor) -> Tensor:
        return self.again(F.unfold(self.patches(pictures), 3, padding=1, stride=2).mT)


def pictures(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("model", [Plain(), Drops(always=False), Unfolds(), Plain(12, 2)])
def test_tokens_that_overlap_or_are_dropped_in_training_lie_where_they_do(model: nn.Module) -> None:
    model.eval()
    assert measure_tokens(model, pictures()) == TokenGrid(0, SIDE, SIDE)
    found = make_method("rollout", readout="mean")(model, pictures())
    assert found.heatmap.shape == (2, SIDE, SIDE)
    one = make_method("rollout", readout="mean")(model, pictures()[1:])
    torch.testing.assert_close(found.heatmap[1:], one.heatmap)


REFUSED: dict[str, tuple[nn.Module, type[ExplainError], str]] = {
    "merged": (Merges(), ObservationError, "16.*12|merge"),
    "dropped": (Drops(always=True), ObservationError, "random|chance"),
    "windows": (Windows(), NoGlobalAttention, "is not between all patches of the picture. Windowed"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("name", ["rollout", "raw_attention", "ag_cam", "legrad"])
def test_what_has_no_map_of_tokens_is_refused(kind: str, name: str) -> None:
    model, error, why = REFUSED[kind]
    with pytest.raises(error, match=why):
        make_method(name)(model.eval(), pictures())


@pytest.mark.parametrize("kind", ["merged", "windows"])
def test_what_only_runs_the_model_is_right(kind: str) -> None:
    model = REFUSED[kind][0].eval()
    found = make_method("input_x_gradient")(model, pictures())
    leaf = pictures().requires_grad_()
    logits = model(leaf)
    (gradient,) = torch.autograd.grad(logits.amax(1).sum(), leaf)
    expected = F.avg_pool2d((leaf * gradient).sum(1, keepdim=True), 32 // found.heatmap.shape[-1])[:, 0]
    torch.testing.assert_close(*(each / each.abs().amax() for each in (found.heatmap, expected.detach())))


def test_a_layer_before_windows_and_merging_lies_on_the_picture() -> None:
    for kind in ("windows", "merged"):
        assert make_method("grad_cam", layer="patches")(REFUSED[kind][0].eval(), pictures()).heatmap.shape == (2, 4, 4)


def test_tokens_that_change_places_between_blocks_are_refused() -> None:
    class Scattered(Plain):
        def between(self, tokens: Tensor) -> Tensor:
            return tokens.flip(1)

    with pytest.raises(NoTokenGrid, match="stand in another order"):
        make_method("rollout", readout="mean")(Scattered().eval(), pictures())
