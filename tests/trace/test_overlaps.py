"""Stems whose receptive fields overlap: tokens in another order are never taken for rows, and what is said is right."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

import vitreous
from vitreous.errors import NoTokenGrid
from vitreous.trace.observed import TokenGrid
from vitreous.trace.places import measure_tokens

SIDE = 7


class Overlapping(nn.Module):
    """Convolutions of stride 2, few of their channels alive, and tokens that stand in any order."""

    def __init__(self, seed: int, order: Sequence[int], more: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        strides = [(3, 2), (16, 2), (16, 2)] + [(16, 1)] * more
        self.stem = nn.Sequential(
            *(nn.Sequential(nn.Conv2d(width, 16, 3, stride, 1), nn.ReLU()) for width, stride in strides)
        )
        layer = nn.TransformerEncoderLayer(16, 2, 64, batch_first=True, norm_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False), nn.Linear(16, 3)
        self.order = list(order)

    def forward(self, pictures: Tensor) -> Tensor:
        tokens = self.stem(pictures).flatten(2).mT
        return self.head(self.encoder(tokens[:, self.order]).mean(1))


CELLS = torch.arange(SIDE**2).view(SIDE, SIDE)
ORDERS = {
    "columns": CELLS[:, [0, 2, 1, 3, 4, 5, 6]].flatten().tolist(),
    "rows": CELLS[[0, 1, 2, 4, 3, 5, 6]].flatten().tolist(),
    "two neighbors": [1, 0, *range(2, SIDE**2)],
}


def pictures(seed: int) -> Tensor:
    return torch.randn(1, 3, 8 * SIDE, 8 * SIDE, generator=torch.Generator().manual_seed(seed + 9))


@pytest.mark.parametrize("seed", [0, 1])
def test_tokens_follow_row_by_row(seed: int) -> None:
    assert measure_tokens(Overlapping(seed, range(SIDE**2)).eval(), pictures(seed)) == TokenGrid(0, SIDE, SIDE)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", ORDERS)
def test_lines_and_neighbors_that_change_places_are_told_or_refused(name: str, seed: int) -> None:
    model = Overlapping(seed, ORDERS[name]).eval()
    try:
        tokens = measure_tokens(model, pictures(seed))
    except NoTokenGrid:
        return
    assert tokens == TokenGrid.of(SIDE**2, (SIDE, SIDE), torch.tensor(ORDERS[name]).argsort().tolist())


def test_what_overlaps_too_widely_is_explained_as_the_message_says() -> None:
    model = Overlapping(0, ORDERS["columns"], more=1).eval()
    with pytest.raises(
        NoTokenGrid, match=r"lie on no grid that covers it\. Say how they lie by grid=\(height, width\)"
    ):
        vitreous.explain(model, pictures(0), "rollout", readout="mean")
    where = torch.tensor(ORDERS["columns"]).argsort()
    said = vitreous.explain(
        model, pictures(0), "rollout", readout="mean", grid=(SIDE, SIDE), patches=where.tolist()
    ).heatmap
    plain = Overlapping(0, range(SIDE**2), more=1).eval()
    expected = vitreous.explain(plain, pictures(0), "rollout", readout="mean", grid=(SIDE, SIDE)).heatmap
    torch.testing.assert_close(said, expected)
