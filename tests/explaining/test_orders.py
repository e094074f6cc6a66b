"""The order in which patches are hidden: those of one value row by row, whatever made them."""

from __future__ import annotations

import torch

from vitreous.explaining.trust.orders import order_of, patch_values


def test_patches_of_one_value_stay_equal_on_another_grid() -> None:
    heatmap = torch.full((7, 7), 0.1)
    heatmap[3, 3] = 0.9
    values = patch_values(heatmap, (5, 5), (60, 60)).view(5, 5)
    assert len(values.unique()) == 4, "middle, beside it, aslant of it, the rest"
    assert torch.equal(values, values.mT)
    assert torch.equal(values, values.flip(0))
    assert order_of(values.flatten())[:5].tolist() == [12, 7, 11, 13, 17]


def test_faint_maps_keep_their_order() -> None:
    heatmap = torch.rand(7, 7, dtype=torch.float64)
    orders = [order_of(patch_values(heatmap * size, (5, 5), (60, 60))) for size in (1.0, 1e-60, 1e60)]
    assert torch.equal(orders[0], orders[1])
    assert torch.equal(orders[0], orders[2])
