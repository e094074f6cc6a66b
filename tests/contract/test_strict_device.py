"""Every method and every metric where numbers of two devices do not mix: as on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import vitreous
from tests.contract.promises import DEFAULT, DOUBLE_ONLY, VARIANTS, explain, refusal
from tests.contract.strict_device import DEVICE, DeviceTensor, strict_device
from tests.contract.test_metrics import JUDGES, data, score
from tests.contract.zoo import CASES
from tests.quick import quick_pairs
from vitreous.explaining.trust.measure import trust

METHODS = DEFAULT | VARIANTS
PAIRS = [
    pair
    for pair in quick_pairs(["timm_vit", "timm_swin"], METHODS, [])
    if not refusal(CASES[str(pair.values[0])], str(pair.values[1]))
]
OFF = 1e-3  # of the peak, in single precision


def bare(found: Tensor) -> Tensor:
    assert isinstance(found, DeviceTensor), "it was brought to the CPU"
    return found.held.detach()


@pytest.mark.parametrize(
    "mix",
    [
        lambda there: there + torch.ones(3),
        lambda there: torch.ones(3)[there.long()],
        lambda there: torch.where(there > 0, there, torch.ones(3)),
        lambda there: torch.cat([there, torch.ones(3)]),
        lambda there: there.numpy(),
        lambda there: torch.randn(3, device=DEVICE, generator=torch.Generator()),
        lambda there: there.index_put((torch.tensor([0]),), torch.ones(3)),
    ],
    ids=["sum", "index", "where", "cat", "numpy", "generator", "put"],
)
def test_the_device_refuses_what_cuda_refuses(mix: Callable[[Tensor], object]) -> None:
    with strict_device(), pytest.raises((RuntimeError, TypeError)):
        mix(torch.zeros(3).to(DEVICE))


def test_the_device_allows_what_cuda_allows() -> None:
    with strict_device():
        there = torch.arange(3.0).to(DEVICE)
        there = there * torch.tensor(2.0) + torch.zeros(3, device=DEVICE) + there.new_ones(3)
        there[torch.tensor([0])] = there[torch.tensor([2])]
        assert torch.zeros(3).copy_(there).tolist() == there.cpu().tolist() == there.tolist() == [5, 3, 5]


@pytest.mark.parametrize(("kind", "name"), PAIRS)
def test_methods(kind: str, name: str) -> None:
    case, method = CASES[kind], METHODS[name]
    dtype = torch.float64 if name in DOUBLE_ONLY else torch.float32
    model, images = case.model().to(dtype), case.images().to(dtype)
    target, wanted = explain(case, method, model, images)
    with strict_device():
        _, found = explain(case, method, model.to(DEVICE), images.to(DEVICE), target)
    assert wanted.logits is not None
    assert found.logits is not None
    torch.testing.assert_close(bare(found.logits), wanted.logits)
    assert (bare(found.heatmap) - wanted.heatmap).abs().max() <= OFF * wanted.heatmap.abs().max()


@pytest.mark.slow
@pytest.mark.parametrize("name", JUDGES)
def test_metrics(name: str) -> None:
    wanted, inputs = score(JUDGES[name], data()), data()
    with strict_device():
        moved = {key: each.to(DEVICE) for key, each in vars(inputs).items() if isinstance(each, Tensor | nn.Module)}
        found = score(JUDGES[name], replace(inputs, **moved))
    assert found.keys() == wanted.keys()
    for quantity, value in wanted.items():
        torch.testing.assert_close(found[quantity], value, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_trust() -> None:
    case = CASES["timm_vit"]
    model, images = case.model(), case.images()
    (wanted, _) = trust(model, vitreous.explain(model, images, ["rollout", "grad_cam"]))
    with strict_device():
        model = model.to(DEVICE)
        (found, _) = trust(model, vitreous.explain(model, images.to(DEVICE), ["rollout", "grad_cam"]))
    for name, each in wanted.maps.items():
        assert each.abpc == pytest.approx(found.maps[name].abpc, abs=1e-4)
