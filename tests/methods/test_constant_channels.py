"""A channel that is the same everywhere belongs to no place, also where enlarging it gives it some grain."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vitreous.methods import make_method
from vitreous.trace.target import Classes


class Channels(nn.Module):
    """One channel that looks at the picture and one that is constant, whatever the constant the same scores."""

    def __init__(self, constant: float) -> None:
        super().__init__()
        self.maps, self.head = nn.Conv2d(1, 2, 6, 6), nn.Linear(2, 3)
        with torch.no_grad():
            self.maps.weight[1], self.maps.bias[1] = 0, constant
            self.head.bias -= constant * self.head.weight[:, 1]

    def forward(self, images: Tensor) -> Tensor:
        # to this a picture times 1e-7 is a picture, as to a norm without bias
        seen = (images != 0).float().mean((1, 2, 3))
        return self.head(self.maps(images).mean((2, 3))) + seen[:, None] * torch.arange(3)


@pytest.mark.parametrize("method", [make_method("score_cam", weights="increase"), make_method("vit_cx")])
def test_a_constant_channel_is_no_mask(method: object) -> None:
    images, maps = torch.randn(2, 1, 30, 30), []
    for constant in (0.0, 0.1, -1.7):
        torch.manual_seed(0)
        maps.append(method(Channels(constant), images, Classes((2,))).heatmap)
    for heatmap in maps[1:]:
        torch.testing.assert_close(heatmap, maps[0], rtol=1e-4, atol=1e-6)
