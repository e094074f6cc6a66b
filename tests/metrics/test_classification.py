"""Counting what a classifier got right, against counts by hand."""

from __future__ import annotations

import pytest
import torch

from vitreous.errors import DataError, ShapeError
from vitreous.metrics.classification import calibration_error, confusion, fit_temperature, judge_classifier

GENERATOR = torch.Generator().manual_seed(0)
LABELS = torch.randint(2, (60,), generator=GENERATOR)
LOGITS = torch.randn(60, 2, generator=GENERATOR) + torch.nn.functional.one_hot(LABELS, 2)


def slow_scores(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """By counting: the AUC is the share of (positive, negative) pairs in the right order, ties half."""
    margin, said = (logits[:, 1] - logits[:, 0]).tolist(), [int(a < b) for a, b in logits.tolist()]
    right = labels.tolist()
    both = [(m, n) for m, is_m in zip(margin, right, strict=True) for n, is_n in zip(margin, right, strict=True)
            if is_m == 1 and is_n == 0]  # fmt: skip
    hits = sum(s == r == 1 for s, r in zip(said, right, strict=True))
    return {
        "top1": sum(s == r for s, r in zip(said, right, strict=True)) / len(right),
        "auc": sum((m > n) + (m == n) / 2 for m, n in both) / len(both),
        "precision": hits / sum(said),
        "recall": hits / sum(right),
    }


def test_scores_are_the_counts() -> None:
    found = judge_classifier(LOGITS, LABELS, resamples=50)
    assert {name: score.value for name, score in found.items()} == pytest.approx(slow_scores(LOGITS, LABELS))


def test_intervals_are_those_of_resamples() -> None:
    found = judge_classifier(LOGITS, LABELS, resamples=400, seed=3)
    generator = torch.Generator().manual_seed(7)
    draws = [torch.randint(60, (60,), generator=generator) for _ in range(400)]
    slow = [slow_scores(LOGITS[draw], LABELS[draw]) for draw in draws]
    for name, score in found.items():
        ends = torch.tensor([each[name] for each in slow]).quantile(torch.tensor([0.025, 0.975])).tolist()
        assert (score.low, score.high) == pytest.approx(ends, abs=0.04), name
        assert score.low <= score.value <= score.high


def test_more_classes_have_the_top1_alone_and_one_class_no_auc() -> None:
    assert list(judge_classifier(torch.eye(3), torch.arange(3), resamples=5)) == ["top1"]
    assert list(judge_classifier(LOGITS, torch.ones(60).long(), resamples=5)) == ["top1", "precision", "recall"]


def test_confusions_are_counted_by_true_class_then_predicted() -> None:
    logits = torch.eye(3)[[0, 1, 1, 2, 0]]
    assert confusion(logits, torch.tensor([0, 1, 2, 2, 2])).tolist() == [[1, 0, 0], [0, 1, 0], [1, 1, 1]]


def test_as_many_labels_as_logits() -> None:
    with pytest.raises(ShapeError, match="60 rows of logits have 59 labels"):
        judge_classifier(LOGITS, LABELS[1:])


def test_a_calibration_error_is_the_gap_in_each_bin() -> None:
    sure = torch.tensor([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    logits = torch.stack([sure, 1 - sure], 1).log()
    labels = torch.tensor([0, 0, 0, 1, 0, 1])  # 3 of 4 right at 95 %, 1 of 2 at 55 %
    assert calibration_error(logits, labels, bins=10) == pytest.approx((4 * 0.2 + 2 * 0.05) / 6, abs=1e-6)
    assert calibration_error(torch.tensor([[99.0, 0.0]]), torch.tensor([0])) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_a_temperature_undoes_what_made_scores_too_sure_or_not_sure_enough(temperature: float) -> None:
    generator = torch.Generator().manual_seed(4)
    true = 2 * torch.randn(20_000, 5, generator=generator)
    labels = torch.multinomial(true.softmax(1), 1, generator=generator)[:, 0]
    found = fit_temperature(true * temperature, labels)
    assert found == pytest.approx(temperature, rel=0.05)
    of_chance = calibration_error(true, labels)  # what so many draws from the true probabilities give
    assert calibration_error(true * temperature / found, labels) == pytest.approx(of_chance, abs=3e-3)
    assert temperature == 1 or calibration_error(true * temperature, labels) > 5 * of_chance


def test_scores_that_are_always_right_have_no_temperature() -> None:
    with pytest.raises(DataError, match="fits 2 pictures, of which 2 are right"):
        fit_temperature(torch.eye(2), torch.arange(2))
    with pytest.raises(DataError, match="fits 2 pictures, of which 0 are right"):
        fit_temperature(torch.eye(2), torch.tensor([1, 0]))
