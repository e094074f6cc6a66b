"""A model that draws random numbers has no one explanation, and is refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import vitreous
from tests.contract.written import vit
from vitreous.errors import ObservationError


class Drawing(nn.Module):
    """A ViT that is given, or gives, what is made of it."""

    def __init__(
        self, before: Callable[[Tensor], Tensor] = lambda x: x, after: Callable[[Tensor], Tensor] = lambda x: x
    ) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.before, self.after = vit(num_classes=3), before, after

    def forward(self, images: Tensor) -> Tensor:
        return self.after(self.inner(self.before(images)))


def _seeded(images: Tensor) -> Tensor:
    torch.manual_seed(3)
    return F.dropout(images, 0.2, training=True)


def _unused(images: Tensor) -> Tensor:
    torch.rand(3)
    return images


RANDOM = {
    "dropout of pixels": Drawing(lambda x: F.dropout(x, 0.3, training=True)),
    "noise": Drawing(lambda x: x + 0.1 * torch.randn_like(x)),
    "dropout at the end": Drawing(after=lambda x: F.dropout(x, 0.5, training=True)),
    "numpy's noise": Drawing(lambda x: x + 0.1 * torch.from_numpy(np.random.randn(*x.shape)).to(x)),
    "Python's coin": Drawing(after=lambda x: x if random.random() < 0.5 else 2 * x),
    "a coin": Drawing(after=lambda x: x if torch.rand([]) < 0.5 else 2 * x),
}


@pytest.mark.parametrize("method", ["raw_attention", "ag_cam", "grad_cam", "input_x_gradient", "lrp", "rise"])
@pytest.mark.parametrize("kind", RANDOM)
def test_a_random_model_is_refused(kind: str, method: str) -> None:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"masks": 4, "fill": "mean"} if method == "rise" else {}
    with pytest.raises(ObservationError, match="gives other numbers each time that it runs on the same image"):
        vitreous.explain(RANDOM[kind].eval(), torch.randn(1, 3, 32, 32), method, target=0, **settings)


@pytest.mark.parametrize("before", [_seeded, _unused])
def test_numbers_that_change_nothing_do_no_harm(before: Callable[[Tensor], Tensor]) -> None:
    model, images = Drawing(before).eval(), torch.randn(1, 3, 32, 32)
    for method in ("raw_attention", "grad_cam"):
        found, again = (vitreous.explain(model, images, method, target=0).heatmap for _ in range(2))
        torch.testing.assert_close(found, again)
