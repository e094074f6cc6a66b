"""Where the map lies, once more with loops: components, boxes, pointing games, average precision."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.reference.test_metrics import falling
from vitreous.metrics.localization import CorLoc, EnergyPointing, MaxBoxAccuracy, Pointing
from vitreous.metrics.metric import scaled
from vitreous.metrics.segmentation import Segmentation, average_precision, eleven_point_precision


def curve(scores: list[float], labels: list[bool]) -> list[tuple[float, float]]:
    """(recall, precision) at every threshold, the highest first."""
    points: list[tuple[float, float]] = []
    for threshold in sorted(set(scores), reverse=True):
        taken = [label for score, label in zip(scores, labels, strict=True) if score >= threshold]
        points.append((sum(taken) / sum(labels), sum(taken) / len(taken)))
    return points


@pytest.mark.parametrize("levels", [3, 1000])
def test_average_precisions(levels: int) -> None:
    scores, labels = torch.randint(levels, (5, 40)) / levels, torch.rand(5, 40) < 0.3
    area, eleven = average_precision(scores, labels), eleven_point_precision(scores, labels)
    for at in range(5):
        points = curve(scores[at].tolist(), labels[at].tolist())
        before = [0.0, *(recall for recall, _ in points)]
        expected = sum((r - b) * p for b, (r, p) in zip(before, points, strict=False))
        assert area[at].item() == pytest.approx(expected)
        tenths = [max(p for r, p in points if r >= step / 10 - 1e-12) for step in range(11)]
        assert eleven[at].item() == pytest.approx(sum(tenths) / 11)


def test_average_precision_of_classes() -> None:
    """Equation 18: the mean over background and object, here each of the pictures' own curves."""
    maps, truth = torch.rand(3, 4, 4), torch.rand(3, 4, 4) < 0.4
    values = Segmentation()(maps, truth)
    expected: list[list[float]] = []
    for heatmap, mask in zip(maps.flatten(1), truth.flatten(1), strict=True):
        spread = ((heatmap - heatmap.min()) / (heatmap.max() - heatmap.min())).double()
        both = []
        for scores, labels in ((1 - spread, ~mask), (spread, mask)):
            points = curve(scores.tolist(), labels.tolist())
            both.append(sum(max(p for r, p in points if r >= step / 10 - 1e-12) for step in range(11)) / 11)
        expected.append(both)
    found = Segmentation().summary({name: value.double().mean(0) for name, value in values.items()})
    assert found["class_ap_11"].item() == pytest.approx(sum(map(sum, expected)) / 6)


def blobs(mask: Tensor) -> list[set[tuple[int, int]]]:
    """8-connected components, by flooding."""
    left = {tuple(at) for at in mask.nonzero().tolist()}
    found: list[set[tuple[int, int]]] = []
    while left:
        edge = [left.pop()]
        blob = set(edge)
        while edge:
            row, column = edge.pop()
            near = {(row + i, column + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            blob |= near
            edge += near
        found.append(blob)
    return found


def around(blob: set[tuple[int, int]], most: int | None) -> tuple[int, int, int, int]:
    rows, columns = [row for row, _ in blob], [column for _, column in blob]
    right, bottom = max(columns) + 1, max(rows) + 1
    cut = (right, bottom) if most is None else (min(right, most - 1), min(bottom, most - 1))
    return min(columns), min(rows), *cut


def iou(a: tuple[int, ...], b: tuple[int, ...], extra: int) -> float:
    def area(box: tuple[int, ...]) -> int:
        return max(0, box[2] - box[0] + extra) * max(0, box[3] - box[1] + extra)

    shared = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    return shared / (area(a) + area(b) - shared)


def test_box_accuracies() -> None:
    heatmap, side = torch.rand(3, 5, 5), 20
    boxes = [
        torch.tensor([[2, 3, 12, 14], [8, 8, 19, 17]]),
        torch.tensor([[0, 0, 20, 20]]),
        torch.tensor([[6, 1, 13, 9]]),
    ]
    largest = torch.zeros(3, 255)
    best = torch.zeros(3, 255, 3)
    for at, values in enumerate(scaled(heatmap, (side, side))):
        truth = [tuple(box) for box in boxes[at].tolist()]
        for level in range(255):
            found = blobs((values * 255).floor() > level)
            overlaps = [max(iou(around(blob, side), box, 1) for box in truth) for blob in found]
            size = max(map(len, found))
            ties = [overlap for blob, overlap in zip(found, overlaps, strict=True) if len(blob) == size]
            largest[at, level] = float("nan") if len({t >= 0.5 for t in ties}) > 1 else float(ties[0] >= 0.5)
            best[at, level] = torch.tensor([max(overlaps) >= wanted for wanted in (0.3, 0.5, 0.7)])
        found = blobs(values > 0.2)
        biggest = max(found, key=len)
        hit = max(iou(around(biggest, None), box, 0) for box in truth) >= 0.5
        assert CorLoc()(heatmap, boxes, (side, side))["cor_loc"][at].item() == hit
    values = MaxBoxAccuracy()(heatmap, boxes, (side, side))
    known = largest.isfinite()
    assert torch.equal(values["largest"].float()[known], largest[known])
    assert torch.equal(values["any"].float(), best)


def test_pointing_games() -> None:
    heatmap, truth = torch.rand(6, 5, 5), torch.rand(6, 20, 20) < 0.01
    truth[:, 10, 10] = True
    for tolerance in (0.0, 3.0, 15.0):
        hits = Pointing(tolerance=tolerance)(heatmap, truth)["pointing"]
        for at, values in enumerate(scaled(heatmap, (20, 20))):
            row, column = falling(values)[0]
            distances = [math.dist((row, column), spot) for spot in truth[at].nonzero().tolist()]
            assert hits[at].item() == (min(distances) < max(tolerance, 1))
            inside = sum(values[r, c].item() for r, c in truth[at].nonzero().tolist())
            energy = EnergyPointing()(heatmap, truth)["energy"][at].item()
            assert energy == pytest.approx(inside / values.sum().item(), rel=1e-5)
