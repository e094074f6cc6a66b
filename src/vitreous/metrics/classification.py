"""How often a classifier is right, with intervals. AUC, precision and recall need torchmetrics."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor

from vitreous.errors import DataError, MissingExtra, ShapeError
from vitreous.shapes import Logits

__all__ = ["Measured", "calibration_error", "confusion", "fit_temperature", "judge_classifier"]


@dataclass(frozen=True)
class Measured:
    """A number from 0 to 1, and its 95 % interval over resamples of the pictures."""

    value: float
    low: float
    high: float


def confusion(logits: Logits, labels: Int[Tensor, " batch"]) -> Int[Tensor, "classes classes"]:
    """How many pictures of each class (row) got each class (column).

    >>> confusion(torch.tensor([[0.0, 1.0], [2.0, 1.0], [0.0, 1.0]]), torch.tensor([1, 1, 0]))
    tensor([[0, 1],
            [1, 1]])
    """
    classes = logits.shape[1]
    return torch.bincount(labels * classes + logits.argmax(1), minlength=classes**2).view(classes, classes)


def calibration_error(logits: Logits, labels: Int[Tensor, " batch"], *, bins: int = 15) -> float:
    """How far the probability of the predicted class is, on average, from how often it is right, from 0 to 1.

    The expected calibration error: pictures are put in `bins` equally wide ones by that probability, and each bin
    counts by its pictures (Guo et al., On Calibration of Modern Neural Networks, ICML 2017). Few pictures make it too
    large.
    """
    sure, predicted = logits.double().softmax(1).max(1)
    right = (predicted == labels).double()
    place = (sure * bins).long().clamp_max(bins - 1)
    apart = sure.new_zeros(bins).index_add(0, place, right - sure)
    return (apart.abs().sum() / len(labels)).item()


def fit_temperature(logits: Logits, labels: Int[Tensor, " batch"]) -> float:
    """The number by which class scores are to be divided so that their probabilities fit the labels best.

    The negative log-likelihood has one minimum, which is found by golden section between 1/20 and 20.

    Raises:
        DataError: it lies beyond, as where all pictures are right: the surer, the better, without end.
    """
    scores, share, end = logits.double(), (5**0.5 - 1) / 2, math.log(20)
    low, high = -end, end

    def loss(at: float) -> float:
        return F.cross_entropy(scores / math.exp(at), labels).item()

    for _ in range(40):
        left, right = high - share * (high - low), low + share * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    if abs(low + high) / 2 > 0.999 * end:
        right = int((logits.argmax(1) == labels).sum())
        raise DataError(
            f"no temperature between 1/20 and 20 fits {len(labels)} pictures, of which {right} are right. Give more "
            "of them, or harder ones."
        )
    return math.exp((low + high) / 2)


def judge_classifier(
    logits: Logits, labels: Int[Tensor, " labels"], *, resamples: int = 1000, seed: int = 0
) -> dict[str, Measured]:
    """`top1`; of two classes also `auc`, `precision` and `recall` of the second one, class 1.

    Intervals are the middle 95 % of `resamples` draws of as many pictures with replacement. The AUC needs both classes:
    it is left out where the pictures have one, and so are draws that do. A precision of no picture counts as 0.

    Raises:
        ShapeError: no pictures, or not one label each.
        MissingExtra: two classes, and torchmetrics is not installed.
    """
    if len(labels) != len(logits) or not len(labels):
        raise ShapeError(f"{len(logits)} rows of logits have {len(labels)} labels. Give one each, at least one.")
    predicted = logits.argmax(1)
    margin = logits.double().diff(dim=1)[:, 0] if logits.shape[1] == 2 else None  # torchmetrics takes its sigmoid
    whole = _scores(predicted, margin, labels)
    generator = torch.Generator().manual_seed(seed)
    drawn: list[dict[str, float]] = []
    for _ in range(resamples):
        draw = torch.randint(len(labels), (len(labels),), generator=generator)
        drawn.append(_scores(predicted[draw], None if margin is None else margin[draw], labels[draw]))
    found: dict[str, Measured] = {}
    for name, value in whole.items():
        ends = torch.tensor([each[name] for each in drawn if name in each]).quantile(torch.tensor([0.025, 0.975]))
        found[name] = Measured(value, *ends.tolist())
    return found


def _scores(predicted: Tensor, margin: Tensor | None, labels: Tensor) -> dict[str, float]:
    scores = {"top1": (predicted == labels).float().mean().item()}
    if margin is None:
        return scores
    try:
        from torchmetrics.functional.classification import binary_auroc, binary_precision, binary_recall
    except ImportError:
        raise MissingExtra("torchmetrics", "metrics") from None
    if 0 < labels.sum() < len(labels):
        scores["auc"] = binary_auroc(margin, labels, validate_args=False).item()
    scores["precision"] = binary_precision(predicted, labels, validate_args=False).item()
    scores["recall"] = binary_recall(predicted, labels, validate_args=False).item()
    return scores
