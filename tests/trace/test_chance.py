"""A model that draws random numbers has no one explanation, and is refused."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
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


_RNG, _OWN = np.random.default_rng(0), random.Random(0)
_HELD = torch.Generator()


class _Holds(nn.Module):
    """Noise behind the last attention, from a generator that the module holds."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = {"rng": np.random.default_rng(0)}

    def forward(self, logits: Tensor) -> Tensor:
        return logits + torch.from_numpy(self.kept["rng"].normal(size=tuple(logits.shape))).to(logits)


def _closed() -> Callable[[Tensor], Tensor]:
    rng = np.random.RandomState(0)
    return lambda x: x * rng.rand()


def _drawn(rng: random.Random, logits: Tensor) -> Tensor:
    return logits * rng.random()


RANDOM = {
    "dropout of pixels": Drawing(lambda x: F.dropout(x, 0.3, training=True)),
    "noise": Drawing(lambda x: x + 0.1 * torch.randn_like(x)),
    "dropout at the end": Drawing(after=lambda x: F.dropout(x, 0.5, training=True)),
    "numpy's noise": Drawing(lambda x: x + 0.1 * torch.from_numpy(np.random.randn(*x.shape)).to(x)),
    "Python's coin": Drawing(after=lambda x: x if random.random() < 0.5 else 2 * x),
    "its own noise": Drawing(after=_Holds()),
    "its own draw": Drawing(after=_closed()),
    "a file's noise": Drawing(lambda x: x + 0.1 * torch.from_numpy(_RNG.normal(size=tuple(x.shape))).to(x)),
    "a file's coin": Drawing(after=lambda x: x if _OWN.random() < 0.5 else 2 * x),
    "a held generator": Drawing(lambda x: x + 0.1 * torch.randn(x.shape, generator=_HELD)),
    "the system's": Drawing(after=partial(_drawn, random.SystemRandom())),
    "a coin": Drawing(after=lambda x: x if torch.rand([]) < 0.5 else 2 * x),
}


@pytest.mark.parametrize("method", ["raw_attention", "ag_cam", "grad_cam", "input_x_gradient", "lrp", "rise"])
@pytest.mark.parametrize("kind", RANDOM)
def test_a_random_model_is_refused(kind: str, method: str) -> None:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"masks": 4, "fill": "mean"} if method == "rise" else {}
    with pytest.raises(ObservationError, match="gives other numbers each time that it runs on the same image"):
        vitreous.explain(RANDOM[kind].eval(), torch.randn(1, 3, 32, 32), method, target=0, **settings)


@pytest.mark.parametrize("strength", [0.01, 0.3])
def test_noise_of_unknown_source_shows_where_tokens_are_measured(strength: float) -> None:
    def noisy(images: Tensor) -> Tensor:
        return images + strength * torch.from_numpy(np.random.default_rng().normal(size=tuple(images.shape))).to(images)

    with pytest.raises(ObservationError, match="gives other numbers each time that it runs on the same image"):
        vitreous.explain(Drawing(noisy).eval(), torch.randn(1, 3, 32, 32), "raw_attention")


@pytest.mark.parametrize("before", [_seeded, _unused])
def test_numbers_that_change_nothing_do_no_harm(before: Callable[[Tensor], Tensor]) -> None:
    model, images = Drawing(before).eval(), torch.randn(1, 3, 32, 32)
    for method in ("raw_attention", "grad_cam"):
        found, again = (vitreous.explain(model, images, method, target=0).heatmap for _ in range(2))
        torch.testing.assert_close(found, again)
