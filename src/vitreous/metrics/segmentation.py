"""The map as a segmentation: confusion of pixels (MGRW's equations 13 to 16), average precision (17 and 18), F1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from vitreous.errors import ShapeError
from vitreous.metrics.metric import Metric, Number, PictureMask, levelled
from vitreous.shapes import Heatmap

__all__ = [
    "Confusion",
    "Segmentation",
    "average_precision",
    "class_iou",
    "class_precision",
    "class_recall",
    "confusion",
    "eleven_point_precision",
    "f1",
    "pixel_accuracy",
]

Confusion = Shaped[Tensor, "*batch classes classes"]
"""p_ij: how many pixels (or images) of class i are predicted as j."""


def confusion(
    truth: Int[Tensor, "batch ..."], predicted: Int[Tensor, "batch ..."], classes: int
) -> Int[Tensor, "batch classes classes"]:
    """How many pixels of class i are predicted as j, per image.

    >>> confusion(torch.tensor([[0, 0, 1]]), torch.tensor([[0, 1, 1]]), 2)
    tensor([[[1, 1],
             [0, 1]]])
    """
    pair = (truth * classes + predicted).flatten(1)
    counts = pair.new_zeros(len(pair), classes * classes).scatter_add(1, pair, torch.ones_like(pair))
    return counts.unflatten(1, (classes, classes))


def pixel_accuracy(counts: Confusion) -> Float[Tensor, "*batch"]:
    """Σ_i p_ii / Σ_i Σ_j p_ij (equation 13)."""
    return _share(_hits(counts).sum(-1), counts.sum((-2, -1)))


def class_iou(counts: Confusion) -> Float[Tensor, "*batch classes"]:
    """p_ii / (Σ_j p_ij + Σ_j p_ji − p_ii); the mean over classes is the MIoU of equation 14."""
    hits = _hits(counts)
    return _share(hits, counts.sum(-1) + counts.sum(-2) - hits)


def class_precision(counts: Confusion) -> Float[Tensor, "*batch classes"]:
    """p_ii / Σ_j p_ji (equation 15)."""
    return _share(_hits(counts), counts.sum(-2))


def class_recall(counts: Confusion) -> Float[Tensor, "*batch classes"]:
    """p_ii / Σ_j p_ij (equation 16)."""
    return _share(_hits(counts), counts.sum(-1))


def average_precision(
    scores: Float[Tensor, "batch samples"], positive: Bool[Tensor, "batch samples"]
) -> Float[Tensor, " batch"]:
    """The area under the precision-recall curve: Σ_n (R_n − R_(n−1)) P_n over the thresholds, no interpolation.

    >>> average_precision(torch.tensor([[0.9, 0.8, 0.1]]), torch.tensor([[True, False, True]]))
    tensor([0.8333], dtype=torch.float64)
    """
    precision, _, positive = _curve(scores, positive)
    return _share((precision * positive).sum(1), positive.sum(1))


def eleven_point_precision(
    scores: Float[Tensor, "batch samples"], positive: Bool[Tensor, "batch samples"]
) -> Float[Tensor, " batch"]:
    """1/11 Σ_r P(r) over r = 0, 0.1 … 1 (equation 17), P(r) the largest precision at a recall of at least r.

    >>> eleven_point_precision(torch.tensor([[0.9, 0.8, 0.1]]), torch.tensor([[True, False, True]]))
    tensor([0.8485], dtype=torch.float64)
    """
    precision, hits, positive = _curve(scores, positive)
    tenths = torch.arange(11, device=scores.device)[:, None, None]
    reached = hits * 10 >= tenths * positive.sum(1, keepdim=True)  # whole numbers: recall ≥ r without rounding
    return torch.where(reached, precision, 0).amax(2).mean(0)


def f1(truth: Bool[Tensor, "*batch pixels"], predicted: Bool[Tensor, "*batch pixels"]) -> Float[Tensor, "*batch"]:
    """2 tp / (2 tp + fp + fn); 0 where nothing is there and nothing predicted."""
    return _share(2 * (truth & predicted).sum(-1), truth.sum(-1) + predicted.sum(-1))


@dataclass(frozen=True)
class Segmentation(Metric):
    """The ImageNet-Segmentation protocol: pixel accuracy, mIoU, mAP and mF1 of foreground and background.

    The map at picture size, min-max normalized; foreground is what lies above the map's own mean. Pixel accuracy and
    IoU come from pixels counted over the whole data set (equations 13 and 14 of MGRW, whose precision and recall of
    the foreground, 15 and 16, are given too). Average precision is per image, of the scores [1 − map, map] of all
    pixels against [background, foreground] together, then the mean over images, as Chefer et al. have it: `mean_ap` is
    the area under the curve, `mean_ap_11` the 11-point form (17). Literally, equation 18 is a mean over classes, which
    is `class_ap_11`: the 11-point form of background and foreground apart, each a mean over images, and their mean.

    As the authors print it, F1 is taken of each row of the picture, then the mean over rows (`f1_of_rows`). Every image
    counts. They explain the predicted class, and start rollout and transformer attribution at layer 1.
    """

    source: ClassVar[str] = "Chefer et al., Transformer Interpretability Beyond Attention Visualization, CVPR 2021"
    quantities: ClassVar[Mapping[str, Number]] = {
        "pixel_accuracy": Number("↑", "share of pixels on the right side"),
        "mean_iou": Number("↑", "intersection over union, mean of object and background"),
        "mean_ap": Number("↑", "area under precision over recall, mean over pictures"),
        "mean_ap_11": Number("↑", "its 11-point form, mean over pictures"),
        "class_ap_11": Number("↑", "the 11-point form of object and background apart, mean of the two"),
        "mean_f1": Number("↑", "F1, mean over pictures"),
        "precision": Number("↑", "share of what is marked that is object"),
        "recall": Number("↑", "share of the object that is marked"),
    }
    f1_of_rows: bool = True

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Pixels by true and predicted class, and scores."""
        return {"confusion": (2, 2), "mean_ap": (), "mean_ap_11": (), "class_ap_11": (2,), "mean_f1": ()}

    def __call__(self, heatmap: Heatmap, truth: PictureMask) -> dict[str, Tensor]:
        """Values per image."""
        if len(heatmap) != len(truth):
            raise ShapeError(f"{len(heatmap)} heat maps got {len(truth)} masks. Give one mask per map.")
        values = levelled(heatmap, (truth.shape[1], truth.shape[2]))
        marked = values > values.mean((1, 2), keepdim=True, dtype=torch.float64).float()
        scores = torch.cat([1 - values, values], 1).flatten(1)
        positive = torch.cat([~truth, truth], 1).flatten(1)
        rows = f1(truth, marked).mean(1) if self.f1_of_rows else f1(truth.flatten(1), marked.flatten(1))
        return {
            "confusion": confusion(truth.long(), marked.long(), 2),
            "mean_ap": average_precision(scores, positive),
            "mean_ap_11": eleven_point_precision(scores, positive),
            "class_ap_11": torch.stack(
                [
                    eleven_point_precision(each.flatten(1), where.flatten(1))
                    for each, where in ((1 - values, ~truth), (values, truth))
                ],
                1,
            ),
            "mean_f1": rows,
        }

    def summary(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """Accuracy and IoU of all pixels together; the rest are means over images."""
        counts = means["confusion"]
        return {
            "pixel_accuracy": pixel_accuracy(counts),
            "mean_iou": class_iou(counts).mean(),
            "mean_ap": means["mean_ap"],
            "mean_ap_11": means["mean_ap_11"],
            # records of 0.1 have none
            **({"class_ap_11": means["class_ap_11"].mean()} if "class_ap_11" in means else {}),
            "mean_f1": means["mean_f1"],
            "precision": class_precision(counts)[1],
            "recall": class_recall(counts)[1],
        }


def _hits(counts: Confusion) -> Tensor:
    return counts.diagonal(dim1=-2, dim2=-1)


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """Their quotient; 0 where there is nothing, as in the authors' code."""
    return torch.where(whole == 0, 0.0, part.double() / whole)


def _curve(scores: Tensor, positive: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Samples by falling score: precision and true positives when all with that score or more are taken, and labels."""
    ordered, order = scores.sort(1, descending=True)
    positive = positive.gather(1, order)
    place = torch.arange(scores.shape[1], device=scores.device)
    # equal scores fall together: every sample goes by the last one with its score
    is_last = torch.ones_like(positive)
    is_last[:, :-1] = ordered[:, :-1] != ordered[:, 1:]
    last = torch.where(is_last, place, len(place)).flip(1).cummin(1).values.flip(1)
    hits = positive.cumsum(1).gather(1, last)
    return hits.double() / (last + 1), hits, positive
