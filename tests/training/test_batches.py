"""Which pictures an epoch shows, and in which order."""

from __future__ import annotations

import pytest
import torch

from vitreous.training.batches import balanced, shuffled

LABELS = [0] * 60 + [1] * 30 + [2] * 10


@pytest.mark.parametrize(("balance", "shares"), [(0.0, (60, 30, 10)), (0.5, (47.3, 33.4, 19.3)), (1.0, (100 / 3,) * 3)])
def test_small_classes_are_shown_more_often(balance: float, shares: tuple[float, ...]) -> None:
    shown = balanced(LABELS, balance, (0, 0))
    assert len(shown) == len(LABELS)
    counts = torch.tensor(LABELS)[shown].bincount()
    torch.testing.assert_close(counts.double(), torch.tensor(shares).double(), atol=1.0, rtol=0)
    times = shown.bincount(minlength=100)
    for label in range(3):
        own = times[torch.tensor(LABELS) == label]
        assert own.max() - own.min() <= 1


def test_an_epoch_shows_others_of_a_large_class_and_the_same_again() -> None:
    first, second = (set(balanced(LABELS, 1.0, (0, epoch)).tolist()) for epoch in (0, 1))
    assert first != second
    assert first == set(balanced(LABELS, 1.0, (0, 0)).tolist())
    assert {label for label in range(100) if LABELS[label] == 2} <= first & second


def test_batches_hold_what_is_shown() -> None:
    shown = balanced(LABELS, 1.0, (0, 0))
    batches = shuffled(100, (0, 0), 10, 5, shown)
    assert sorted(picture for batch in batches for picture in batch) == sorted(shown.tolist())
    assert len(batches) == 20
