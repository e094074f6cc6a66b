"""What is equal stays equal: no number hangs on how a map is enlarged or a batch is computed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vitreous.metrics.localization import BoxOverlap, CorLoc, MaskOverlap, MaxBoxAccuracy
from vitreous.metrics.saco import saco
from vitreous.metrics.segmentation import Segmentation

SIDE = 61
TRUTH = torch.zeros(1, SIDE, SIDE, dtype=torch.bool)
TRUTH[:, 20:40, 20:40] = True
BOXES = [torch.tensor([[20, 20, 40, 40]])]


def plateau(low: float, high: float) -> Tensor:
    """Halfway between its ends all over, but for two corners."""
    heatmap = torch.full((1, 7, 7), (low + high) / 2)
    heatmap[0, 0, 0], heatmap[0, -1, -1] = low, high
    return heatmap


RANGES = [(0.1, 0.7), (0.2, 0.9), (1 / 3, 1.0), (0.3, 0.7)]


@pytest.mark.parametrize(("low", "high"), RANGES)
def test_a_plateau_at_the_threshold_is_on_one_side_of_it(low: float, high: float) -> None:
    heatmap, boxes = plateau(low, high), BoxOverlap(misclassified=True)
    recall = MaskOverlap()(heatmap, TRUTH)["recall"].item()
    assert min(recall, 1 - recall) < 1e-3
    counts = Segmentation()(heatmap, TRUTH)["confusion"][0]
    assert min(counts[1]) == 0, "all of the object is marked, or none of it"
    whole = boxes(heatmap, BOXES, (SIDE, SIDE))["recall"].item()
    assert min(whole, 1 - whole) < 1e-3


@pytest.mark.parametrize(
    ("low", "high"), [RANGES[0], *(pytest.param(*each, marks=pytest.mark.slow) for each in RANGES[1:])]
)
def test_a_map_scores_the_same_alone_and_in_any_batch(low: float, high: float) -> None:
    made = torch.cat([plateau(low, high), torch.rand(4, 7, 7, generator=torch.Generator().manual_seed(0))])
    truth, boxes = TRUTH.expand(5, -1, -1), BOXES * 5
    for metric in (MaskOverlap(), Segmentation()):
        together, turned = metric(made, truth), metric(made.flip(0), truth)
        for name, values in together.items():
            alone = torch.cat([metric(each[None], TRUTH)[name] for each in made])
            torch.testing.assert_close(values, alone, rtol=1e-12, atol=0)
            torch.testing.assert_close(values, turned[name].flip(0), rtol=1e-12, atol=0)
    for metric in (BoxOverlap(misclassified=True), CorLoc(), MaxBoxAccuracy()):
        for name, values in metric(made, boxes, (SIDE, SIDE)).items():
            alone = torch.cat([metric(each[None], BOXES, (SIDE, SIDE))[name] for each in made])
            assert torch.equal(values, alone)


def test_drops_that_differ_by_rounding_are_equal() -> None:
    salience = torch.tensor([[3.0, 2.0, 1.0]])
    drop, same = torch.tensor([[0.5, 0.1, 0.1]]).double(), torch.tensor([1e-6])
    noisy = drop + torch.tensor([[0.0, -1e-8, 1e-8]]).double()
    assert saco(salience, drop) == saco(salience, noisy, same) == 1
    assert saco(salience, noisy) < 1
