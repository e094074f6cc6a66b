"""A convolutional network that turns its picture by itself is refused, also where each cell sees nearly all of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
from torch import Tensor, nn

from tests.quick import quick
from vitreous.errors import NoTokenGrid
from vitreous.trace.layer import find_layer
from vitreous.trace.reading import Reading, reading

NAMES = ["mobilenetv3_small_100", "poolformer_s12", "efficientnet_b0"]
IMAGES = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))


class Turned(nn.Module):
    """Sees its picture another way, a grid of 3×3 cells."""

    def __init__(self, name: str, turn: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.turn = timm.create_model(name, num_classes=4).eval(), turn

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(self.turn(images))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [0, 1])
def test_as_it_is_given(name: str, seed: int) -> None:
    torch.manual_seed(seed)
    assert find_layer(Turned(name, lambda images: images), IMAGES).name.startswith("inner.")


@pytest.mark.parametrize("name", quick(NAMES, NAMES[:1]))
@pytest.mark.parametrize(
    "turn",
    [
        lambda images: images.flip(-1),
        lambda images: images.flip(-2),
        lambda images: images.flip(-1, -2),
        lambda images: images.mT,
        lambda images: images.rot90(1, (-2, -1)),
    ],
    ids=["mirrored", "upside_down", "half", "transposed", "quarter"],
)
def test_turned_by_itself(name: str, turn: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    with pytest.raises(NoTokenGrid, match="mirrored or turned"):
        find_layer(Turned(name, turn), IMAGES)


def small(turn: Callable[[Tensor], Tensor]) -> tuple[nn.Module, Tensor]:
    """2×2 cells that all see everything."""
    torch.manual_seed(0)
    return Turned("mobilenetv2_035", turn), IMAGES[..., :64, :64]


@pytest.mark.parametrize(
    "turn",
    [
        lambda images: images.flip(-1),
        pytest.param(lambda images: images.flip(-1).flip(-1), marks=pytest.mark.slow),
    ],
    ids=["mirrored", "twice"],
)
def test_what_cannot_be_told_is_refused(turn: Callable[[Tensor], Tensor]) -> None:
    model, images = small(turn)
    with pytest.raises(
        NoTokenGrid, match=r"the 2×2 cells of `inner\.bn2` .* cannot be told.*larger picture.*grid=\(2, 2\)"
    ):
        find_layer(model, images)
    with reading(Reading(grid=(2, 2))):  # as the message says
        assert find_layer(model, images).name == "inner.bn2"


def test_a_larger_picture_tells() -> None:
    larger = torch.randn(1, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    model, _ = small(lambda images: images.flip(-1).flip(-1))
    assert find_layer(model, larger).grid.height == 5
    model, _ = small(lambda images: images.flip(-1))
    with pytest.raises(NoTokenGrid, match="mirrored or turned"):
        find_layer(model, larger)


def test_where_nothing_turns_nothing_is_asked() -> None:
    model, images = small(lambda images: images)
    assert find_layer(model, images).grid.height == 2
