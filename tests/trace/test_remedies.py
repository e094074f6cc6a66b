"""What a refusal says to do instead is done, and gives a right map."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import vitreous
from tests.trace.test_odd_tokens import WIDTH, Plain, pictures
from vitreous.errors import ObservationError
from vitreous.trace.edit import change_output
from vitreous.trace.layer import find_layer
from vitreous.trace.reading import Reading, reading
from vitreous.trace.recorder import record


class Averages(Plain):
    """The mean of its patches is a token of its own, which moves with the picture as they do."""

    def embed(self, pictures: Tensor) -> Tensor:
        tokens = super().embed(pictures)
        return torch.cat([tokens.mean(1, keepdim=True), tokens], 1)


class TwoScales(Plain):
    """Patches of two sizes in one row."""

    def __init__(self) -> None:
        super().__init__()
        self.coarse = nn.Conv2d(3, WIDTH, 16, 16)

    def embed(self, pictures: Tensor) -> Tensor:
        return torch.cat([super().embed(pictures), self.coarse(pictures).flatten(2).mT], 1)


class Tiles(Plain):
    """A picture and its four enlarged quarters, as language models see it, in one row."""

    def embed(self, pictures: Tensor) -> Tensor:
        large = F.interpolate(pictures, scale_factor=2.0).unflatten(2, (2, 32)).unflatten(4, (2, 32))
        tiles = large.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
        return torch.cat([super().embed(pictures), super().embed(tiles).reshape(len(pictures), -1, WIDTH)], 1)


class Scattered(Plain):
    """Each patch is every eighth pixel of the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 64, WIDTH)

    def embed(self, pictures: Tensor) -> Tensor:
        return self.linear(
            pictures.unflatten(2, (8, 4)).unflatten(4, (8, 4)).permute(0, 3, 5, 1, 2, 4).flatten(3)
        ).flatten(1, 2)


def away(model: nn.Module, **how: Any) -> float:
    """How far the pixels that a cell of the layer's maps answers to lie from it, in cells, at most."""
    with reading(Reading(**how)):
        layer, leaf, kept = find_layer(model, pictures(1)), pictures(1).requires_grad_(), list[Tensor]()
        with change_output(model, layer.name, lambda output: kept.append(layer.maps(output)) or output, run=layer.run):
            record(model, leaf, gradients=True)
    maps, places = kept[0][0].sum(0), (torch.arange(32) + 0.5) / 8 - 0.5
    found = list[Tensor]()
    for row in range(4):
        for column in range(4):
            reached = torch.autograd.grad(maps[row, column], leaf, retain_graph=True)[0].square().sum((0, 1))
            lies = torch.stack([reached.sum(1) @ places, reached.sum(0) @ places]) / reached.sum()
            found.append((lies - torch.tensor([row, column])).abs().max())
    return max(found).item()


@pytest.mark.parametrize(
    ("kind", "first"), [(Averages, 1), (TwoScales, 0), (Tiles, 0)], ids=["averages", "two_scales", "tiles"]
)
def test_patches_that_are_said_have_a_map(kind: type[Plain], first: int) -> None:
    model = kind().eval()
    with pytest.raises(ObservationError, match=r"Say how they lie by grid=\(height, width\) and patches=") as refused:
        vitreous.explain(model, pictures(), "rollout", readout="mean")
    assert refused.type.__name__ == "NoTokenGrid"
    how: dict[str, Any] = {"grid": (4, 4), "patches": slice(first, first + 16)}
    assert vitreous.explain(model, pictures(), "rollout", readout="mean", **how).heatmap.shape == (2, 4, 4)
    assert away(model, **how) < 1.5  # its last block mixes them


def test_the_run_that_a_message_names_lies_on_the_picture() -> None:
    model = Tiles().eval()
    with pytest.raises(ObservationError, match=r"`patches` of `Tiles` runs 2 times.*call=0 for the first"):
        find_layer(model, pictures(1))
    assert away(model, call=0) < 0.5


@pytest.mark.parametrize("method", ["rollout", "grad_cam"])
def test_where_patches_lie_on_no_grid_the_model_is_only_run(method: str) -> None:
    model = Scattered().eval()
    with pytest.raises(ObservationError, match="use a method that only runs the model, such as `rise`"):
        vitreous.explain(model, pictures(), method)
    assert vitreous.explain(model, pictures(), "rise", masks=8, fill="mean").heatmap.isfinite().all()


def test_an_exported_model_names_the_model_that_it_was_made_from() -> None:
    inner = Plain().eval()
    model = torch.export.export(inner, (pictures(1),)).module()
    with pytest.raises(
        ObservationError, match=r"layers inside of such a graph cannot be seen\. Pass the model that it was made"
    ):
        find_layer(model, pictures(1))
    assert find_layer(inner, pictures()).grid.height == 4
