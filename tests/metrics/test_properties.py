"""What must hold whatever the map: the perfect map, the worst one, any order of pixels, any shape of components."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from vitreous.masking.components import component_boxes, components
from vitreous.metrics.bands import Bands, band_logits, ranks
from vitreous.metrics.boxes import box_iou, resize_boxes, union_of_boxes
from vitreous.metrics.fills import metric_fill
from vitreous.metrics.localization import (
    BoxOverlap,
    CorLoc,
    EnergyPointing,
    MaskOverlap,
    MaxBoxAccuracy,
    Pointing,
    overlap,
)
from vitreous.metrics.metric import levelled
from vitreous.metrics.perturbation import PRESETS, Perturbation, bands_of
from vitreous.metrics.saco import SaCo, saco
from vitreous.metrics.score import Score
from vitreous.metrics.segmentation import (
    Segmentation,
    average_precision,
    class_iou,
    class_precision,
    class_recall,
    confusion,
    eleven_point_precision,
    pixel_accuracy,
)

seeds = st.integers(0, 2**16)


def noise(seed: int, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def rectangle(top: int, left: int, height: int, width: int, side: int = 12) -> Tensor:
    return union_of_boxes(torch.tensor([[left, top, left + width, top + height]]), (side, side))[None]


@given(seeds)
def test_pixels_beyond_the_outermost_centres_are_equal(seed: int) -> None:
    values = levelled(noise(seed, 1, 4, 4) * 3, (32, 32))[0]
    for corner in (values[:4, :4], values[:4, -4:], values[-4:, :4], values[-4:, -4:]):
        assert len(corner.unique()) == 1


boxes = st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=10)
@given(boxes)
def test_the_perfect_map_is_one(box: tuple[int, int, int, int]) -> None:
    truth = rectangle(*box)
    top, left, height, width = box
    given_boxes = [torch.tensor([[left, top, left + width, top + height]])]
    heatmap = truth.float()
    found: list[Tensor] = []
    for judge in (
        MaskOverlap(),
        Pointing(tolerance=0.0),
        EnergyPointing(),
        Segmentation(f1_of_rows=False),
    ):
        score = Score(judge)
        score.update(heatmap, truth)
        found += score.compute().values()
    for judge in (BoxOverlap(misclassified=True), CorLoc(), MaxBoxAccuracy(inclusive=False)):
        score = Score(judge)
        score.update(heatmap, given_boxes, (12, 12))
        found += score.compute().values()
    assert torch.stack(found).tolist() == pytest.approx([1.0] * len(found))


@given(boxes)
def test_the_opposite_map_is_zero(box: tuple[int, int, int, int]) -> None:
    truth = rectangle(*box)
    values = MaskOverlap(epsilon=0.0)(1 - truth.float(), truth)
    assert all(value.item() == 0 for value in values.values())
    assert EnergyPointing()(1 - truth.float(), truth)["energy"].item() == 0


@given(seeds, st.sampled_from([0.2, 0.5, 0.8]))
def test_components_are_connected_and_apart(seed: int, share: float) -> None:
    mask = noise(seed, 2, 9, 11) < share
    labels = components(mask)
    assert torch.equal(labels < 0, ~mask)
    for label, inside, (found, pixels) in zip(labels, mask, component_boxes(mask), strict=True):
        for (r, c), (s, d) in zip(*[inside.nonzero().tolist()] * 2, strict=True):
            assert label[r, c] == label[s, d]
        near = inside.nonzero()
        touching = (near[:, None] - near[None]).abs().amax(-1) <= 1
        same = label[inside][:, None] == label[inside][None]
        assert (same | ~touching).all(), "neighbors belong together"
        reached = (
            torch.linalg.matrix_power(touching.double(), max(1, len(near))).clamp(max=1) > 0 if len(near) else same
        )
        assert torch.equal(reached, same), "and nothing else does"
        assert pixels.sum() == inside.sum()
        assert torch.equal(union_of_boxes(found, (9, 11)) & inside, inside)


def test_a_snake_is_one_component() -> None:
    """The longest way through a picture: every second row, joined at alternating ends."""
    mask = torch.zeros(1, 101, 101, dtype=torch.bool)
    mask[:, ::2] = True
    mask[:, 1::4, -1] = True
    mask[:, 3::4, 0] = True
    assert len(components(mask)[mask].unique()) == 1


@given(seeds)
def test_overlap_does_not_depend_on_the_place_of_pixels(seed: int) -> None:
    predicted, truth = noise(seed, 2, 5, 6) < 0.5, noise(seed + 1, 2, 5, 6) < 0.5
    moved = [kind.transpose(1, 2).flip(1) for kind in (predicted, truth)]
    for name, value in overlap(predicted, truth).items():
        assert torch.equal(overlap(*moved)[name], value)
        assert ((value > 0) & (value <= 1)).all()


@given(seeds)
def test_ious_are_symmetric(seed: int) -> None:
    corners = torch.randint(0, 9, (5, 2), generator=torch.Generator().manual_seed(seed))
    both = torch.cat([corners, corners + 3], 1)
    for inclusive in (False, True):
        found = box_iou(both, both, inclusive=inclusive)
        assert torch.equal(found, found.T)
        assert torch.equal(found.diagonal(), torch.ones(5))


def test_boxes_move_with_the_picture() -> None:
    whole = torch.tensor([[0, 0, 451, 300]])
    assert resize_boxes(whole, (300, 451), (224, 224)).tolist() == [[0, 0, 224, 224]]


def test_the_confusion_of_a_classifier() -> None:
    """Table 4 of MGRW is of the same equations, on images of two classes."""
    counts = confusion(torch.tensor([[0] * 6 + [1] * 4]), torch.tensor([[0] * 5 + [1] + [1] * 3 + [0]]), 2)[0]
    assert counts.tolist() == [[5, 1], [1, 3]]
    assert pixel_accuracy(counts).item() == pytest.approx(0.8)
    assert class_iou(counts).tolist() == pytest.approx([5 / 7, 3 / 5])
    assert class_precision(counts)[1].item() == pytest.approx(3 / 4)
    assert class_recall(counts)[1].item() == pytest.approx(3 / 4)


@given(seeds, st.integers(2, 5))
def test_average_precision_knows_only_the_order(seed: int, levels: int) -> None:
    scores, labels = (noise(seed, 3, 30) * levels).floor(), noise(seed + 1, 3, 30) < 0.4
    labels[:, 0] = True
    mixed = torch.randperm(30, generator=torch.Generator().manual_seed(seed))
    for measure in (average_precision, eleven_point_precision):
        expected = measure(scores, labels)
        torch.testing.assert_close(measure(scores.exp(), labels), expected)
        torch.testing.assert_close(measure(scores[:, mixed], labels[:, mixed]), expected)
        assert torch.equal(measure(labels.float(), labels), torch.ones(3, dtype=torch.float64))


@given(seeds, st.integers(1, 7))
def test_bands_take_every_pixel_once(seed: int, parts: int) -> None:
    values = (noise(seed, 1, 6, 7) * 4).floor()
    rank = ranks(values)[0]
    assert torch.equal(rank.flatten().sort().values, torch.arange(42))
    for order in ("morf", "lerf", "insertion"):
        low, high = torch.tensor(bands_of(order, 42, parts, parts)).T
        masks = Bands(rank, low, high)[:]
        assert masks.flatten(1).sum(1).tolist() == sorted(
            masks.flatten(1).sum(1).tolist(), reverse=order == "insertion"
        )
        assert {masks[0].all().item(), masks[-1].all().item()} == {True, False}
        for mask in masks:
            taken, left = values[0][mask], values[0][~mask]
            if len(taken) and len(left):
                assert (taken.min() >= left.max()) if order == "morf" else (taken.max() <= left.min())


class Sum(nn.Module):
    """Two classes: the sum of all pixels, weighted, and its negative. Counts what it is asked."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.seen = 0

    def forward(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        total = (images * self.weight).sum((1, 2, 3))
        return torch.stack([total, -total], 1)


IMAGES, TARGET = torch.ones(3, 1, 8, 8), torch.zeros(3, dtype=torch.long)


@given(seeds)
def test_the_map_that_is_the_weights_is_best(seed: int) -> None:
    """On a linear model no order is better than that of the contributions, and SaCo is 1."""
    weight = noise(seed, 8, 8)
    model, best = Sum(weight), weight.expand(3, -1, -1)
    judge = Perturbation(scale="logit", insertion="mean")
    other = noise(seed + 1, 3, 8, 8)
    means = [
        judge.summary({name: curve.mean(0) for name, curve in judge(model, IMAGES, heatmap, TARGET).items()})
        for heatmap in (best, other)
    ]
    assert means[0]["morf"] <= means[1]["morf"] + 1e-5
    assert means[0]["lerf"] >= means[1]["lerf"] - 1e-5
    assert means[0]["insertion"] >= means[1]["insertion"] - 1e-5
    assert means[0]["abpc"] == means[0]["lerf"] - means[0]["morf"]
    found = SaCo(groups=4, fill="mean", scale="logit")(model, IMAGES, best, TARGET)["saco"]
    assert found.tolist() == pytest.approx([1] * 3)


@given(seeds)
def test_saco_lies_between_its_bounds_and_turns_with_the_drop(seed: int) -> None:
    salience, drop = noise(seed, 4, 6).sort(1, descending=True).values, noise(seed + 1, 4, 6)
    found = saco(salience, drop)
    assert (found.abs() <= 1 + 1e-6).all()
    torch.testing.assert_close(saco(salience, -drop), -found)


def test_pictures_that_are_the_same_are_looked_at_once() -> None:
    model = Sum(torch.rand(8, 8))
    PRESETS["ag_cam"](model, IMAGES, torch.rand(3, 8, 8), TARGET)
    assert model.seen == 20 * 3, "11 steps down, 11 up, the first and the last shared"


def test_insertion_is_lerf_backwards() -> None:
    model, heatmap = Sum(torch.rand(8, 8)), torch.rand(3, 8, 8)
    curves = Perturbation(morf="", insertion="mean", parts=8, last=8)(model, IMAGES, heatmap, TARGET)
    torch.testing.assert_close(curves["insertion"], curves["lerf"].flip(1))
    assert model.seen == 9 * 3


def test_the_batch_size_bounds_every_pass_and_changes_nothing() -> None:
    model, heatmap = Sum(torch.rand(8, 8)), torch.rand(3, 8, 8)
    judge = PRESETS["ag_cam"]
    expected = judge(model, IMAGES, heatmap, TARGET)
    for batch_size in (1, 7, 1000):
        for name, curve in dataclasses.replace(judge, batch_size=batch_size)(model, IMAGES, heatmap, TARGET).items():
            torch.testing.assert_close(curve, expected[name])


def test_autocast() -> None:
    model, images = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), torch.randn(2, 1, 8, 8)
    fill = metric_fill("mean", (), ())
    exact, low = (
        band_logits(model, images, torch.rand(2, 8, 8), [(0, 0)], fill, precision=precision)
        for precision in (None, torch.bfloat16)
    )
    assert low.dtype == torch.float32
    assert 0 < (low - exact).abs().max() < 0.05


def test_misclassified_images_count_or_not() -> None:
    model, heatmap = Sum(torch.rand(8, 8)), torch.rand(3, 8, 8)
    target = torch.tensor([0, 1, 0])
    all_of_them, right = (
        Score(dataclasses.replace(PRESETS["ag_cam"], misclassified=counts)) for counts in (True, False)
    )
    for score in (all_of_them, right):
        score.update(model, IMAGES, heatmap, target)
    assert (all_of_them.images, right.images) == (3, 2)
    alone = Score(PRESETS["ag_cam"])
    alone.update(model, IMAGES[::2], heatmap[::2], target[::2])
    torch.testing.assert_close(right.compute(), alone.compute())
