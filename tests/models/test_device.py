"""Where to compute: the GPU of a Mac has no double precision, which explanations take in part."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import vitreous
from tests.contract.zoo import CASES
from vitreous.errors import ModelError
from vitreous.masking.fill import make_fill
from vitreous.masking.forward import masked_logits
from vitreous.models.device import choose_device, find_device
from vitreous.trace.ending import scores_behind
from vitreous.trace.recorder import record, tokens_of


class OnMac(Tensor):
    """Numbers that say that they lie on a Mac's GPU, and like there refuse to become double."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("mps")

    def cpu(self) -> Tensor:  # type: ignore[override]
        return self.as_subclass(Tensor)

    def double(self) -> Tensor:  # type: ignore[override]
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")


def on_mac(values: Tensor) -> Tensor:
    return values.as_subclass(OnMac)


@pytest.mark.parametrize(
    ("cuda", "mps", "float64", "chosen"),
    [
        (True, False, True, "cuda"),
        (True, False, False, "cuda"),
        (False, True, True, "cpu"),
        (False, True, False, "mps"),
        (False, False, False, "cpu"),
    ],
)
def test_auto_takes_a_gpu_that_can(cuda: bool, mps: bool, float64: bool, chosen: str) -> None:
    assert choose_device(cuda, mps, float64) == chosen


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this is a Mac, where it is there")
def test_a_device_that_is_not_there_is_told() -> None:
    with pytest.raises(ModelError, match='device "mps" cannot be used'):
        find_device("mps")


def test_explaining_on_a_mac_is_refused_with_the_way_out() -> None:
    model, images = CASES["timm_vit"].model(), on_mac(CASES["timm_vit"].images())
    calls = (
        lambda: record(model, images),
        lambda: tokens_of(model, images),
        lambda: masked_logits(model, images, torch.zeros(1, 2, 2, dtype=torch.bool), make_fill("mean", (), ())),
    )
    for call in calls:
        with pytest.raises(ModelError, match=r"on mps, a Mac's GPU, .* \(--device cpu\)\.$"):
            call()


def test_a_model_on_a_mac_is_refused_before_pictures_are_prepared() -> None:
    class Moved(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(on_mac(torch.zeros(2, 3)))

    with pytest.raises(ModelError, match="on mps"):
        vitreous.explain(Moved(), torch.zeros(1, 3, 8, 8))


def test_class_scores_are_read_without_double_precision_there() -> None:
    scores = on_mac(torch.tensor([[0.5, -2.0, 1.0]]))
    assert scores_behind(scores, "model") is scores
