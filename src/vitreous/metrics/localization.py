"""Does the map lie on the object? Overlap with boxes or a mask, box accuracy, pointing games."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from vitreous.errors import ShapeError
from vitreous.masking.components import Boxes, component_boxes
from vitreous.metrics.boxes import box_iou, check_boxes, union_of_boxes
from vitreous.metrics.metric import Metric, Number, PictureMap, PictureMask, check_truth, levelled, scaled
from vitreous.shapes import Heatmap

__all__ = [
    "BoxOverlap",
    "CorLoc",
    "EnergyPointing",
    "FindsBoxes",
    "MaskOverlap",
    "MaxBoxAccuracy",
    "Pointing",
    "overlap",
]

_OVERLAP = {
    "pixel_accuracy": Number("↑", "share of pixels that are marked and object, or neither"),
    "iou": Number("↑", "what is both marked and object over what is either"),
    "dice": Number("↑", "twice what is both over the sum of marked and object"),
    "precision": Number("↑", "share of what is marked that is object"),
    "recall": Number("↑", "share of the object that is marked"),
}


@runtime_checkable
class FindsBoxes(Protocol):
    """A metric that judges boxes which it finds in each map by itself."""

    def boxes_of(self, values: PictureMap) -> list[Boxes]:
        """Those of maps from 0 to 1."""
        ...


def overlap(predicted: PictureMask, truth: PictureMask, *, epsilon: float = 1e-5) -> dict[str, Tensor]:
    """Pixel accuracy, IoU, Dice, precision and recall of each image, (batch,).

    `epsilon` is added above and below every fraction, so two empty masks overlap fully.
    """
    counts = [(predicted == said) & (truth == true) for said in (True, False) for true in (True, False)]
    tp, fp, fn, tn = (count.sum((1, 2)).double() for count in counts)
    fractions = {
        "pixel_accuracy": (tp + tn, tp + tn + fp + fn),
        "iou": (tp, tp + fp + fn),
        "dice": (2 * tp, 2 * tp + fp + fn),
        "precision": (tp, tp + fp),
        "recall": (tp, tp + fn),
    }
    return {name: (part + epsilon) / (whole + epsilon) for name, (part, whole) in fractions.items()}


@dataclass(frozen=True)
class BoxOverlap(Metric):
    """Overlap of the boxes around what the map marks with the object's boxes, as AG-CAM is evaluated.

    The map at picture size, min-max normalized; the boxes around the 8-connected components above `threshold`; the
    union of these boxes against the union of the given ones, pixel by pixel; means over images.

    As in the authors' code, boxes hold their right and bottom pixels too (`inclusive`), which makes the predicted ones
    a pixel too large, and images that the model misclassified do not count (`misclassified`): say which with
    `correct`. There, every object of the picture has a box, whatever its class; `resize_boxes` cuts as they do.
    """

    source: ClassVar[str] = "Leem & Seo, Attention Guided CAM, AAAI 2024 (localization.py)"
    quantities: ClassVar[Mapping[str, Number]] = _OVERLAP
    threshold: float = 0.5
    inclusive: bool = True
    epsilon: float = 1e-5
    misclassified: bool = False

    def __call__(
        self,
        heatmap: Heatmap,
        boxes: list[Boxes],
        size: tuple[int, int],
        correct: Bool[Tensor, " batch"] | None = None,
    ) -> dict[str, Tensor]:
        """Values per image; `boxes` lie in a picture of `size` (height, width), as `resize_boxes` gives them."""
        check_boxes(len(heatmap), boxes)
        predicted, truth = (
            torch.stack([union_of_boxes(each.to(heatmap.device), size, inclusive=self.inclusive) for each in kind])
            for kind in (self.boxes_of(levelled(heatmap, size)), boxes)
        )
        return overlap(predicted, truth, epsilon=self.epsilon) | _counted(correct, self.misclassified)

    def boxes_of(self, values: PictureMap) -> list[Boxes]:
        """The boxes found in maps from 0 to 1: around each component."""
        return [found for found, _ in component_boxes(values > self.threshold)]


@dataclass(frozen=True)
class MaskOverlap(Metric):
    """Overlap of the pixels that the map marks with the object's mask: no boxes anywhere.

    The map at picture size, min-max normalized, above `threshold`; means over images.
    """

    source: ClassVar[str] = "the pixel-wise form of Leem & Seo, Attention Guided CAM, AAAI 2024"
    quantities: ClassVar[Mapping[str, Number]] = _OVERLAP
    threshold: float = 0.5
    epsilon: float = 1e-5
    misclassified: bool = True

    def __call__(
        self, heatmap: Heatmap, truth: PictureMask, correct: Bool[Tensor, " batch"] | None = None
    ) -> dict[str, Tensor]:
        """Values per image."""
        check_truth(heatmap, truth)
        marked = levelled(heatmap, (truth.shape[1], truth.shape[2])) > self.threshold
        return overlap(marked, truth, epsilon=self.epsilon) | _counted(correct, self.misclassified)


@dataclass(frozen=True)
class CorLoc(Metric):
    """The share of images where the box around the largest component overlaps an object's box.

    Largest by its pixels, above `threshold` of the min-max normalized map (20 %, as in CAM); overlap is IoU ≥ `iou`.
    """

    source: ClassVar[str] = "Deselaers et al., IJCV 2012; threshold of Zhou et al., CVPR 2016"
    quantities: ClassVar[Mapping[str, Number]] = {
        "cor_loc": Number("↑", "share of pictures"),
    }
    threshold: float = 0.2
    iou: float = 0.5

    def __call__(self, heatmap: Heatmap, boxes: list[Boxes], size: tuple[int, int]) -> dict[str, Tensor]:
        """Values per image: 1 for a hit."""
        check_boxes(len(heatmap), boxes)
        found = zip(self.boxes_of(levelled(heatmap, size)), boxes, strict=True)
        best = [box_iou(its, truth.to(its.device)).amax() for its, truth in found]
        return {"cor_loc": (torch.stack(best) >= self.iou).double()}

    def boxes_of(self, values: PictureMap) -> list[Boxes]:
        """The box found in each of maps from 0 to 1: around the largest component."""
        return [found[pixels.argmax()][None] for found, pixels in component_boxes(values > self.threshold)]


@dataclass(frozen=True)
class MaxBoxAccuracy(Metric):
    """The share of images whose predicted box overlaps an object's box, at the best threshold for the whole set.

    Thresholds are the 255 gray levels of the map. `max_box_accuracy` takes the largest component and IoU ≥ 0.5;
    `max_box_accuracy_v2` the best box of any component and the mean over IoU ≥ 0.3, 0.5 and 0.7. As in the authors'
    code, boxes hold their right and bottom pixels (`inclusive`).

    Unlike their code, "largest" is counted in pixels, not by the area inside the contour, and holes are no boxes.
    """

    source: ClassVar[str] = "Choe et al., Evaluating Weakly Supervised Object Localization Methods Right, CVPR 2020"
    quantities: ClassVar[Mapping[str, Number]] = {
        "max_box_accuracy": Number("↑", "share of pictures, largest component, IoU ≥ 0.5"),
        "max_box_accuracy_v2": Number("↑", "share of pictures, best component, mean over IoUs"),
    }
    inclusive: bool = True
    ious: tuple[float, ...] = (0.3, 0.5, 0.7)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Hits by gray level, and by IoU."""
        return {"largest": (255,), "any": (255, len(self.ious))}

    def __call__(self, heatmap: Heatmap, boxes: list[Boxes], size: tuple[int, int]) -> dict[str, Tensor]:
        """Values per image: 1 for a hit."""
        check_boxes(len(heatmap), boxes)
        levels = torch.arange(255, device=heatmap.device)[:, None, None]
        largest: list[Tensor] = []
        best: list[Tensor] = []
        for gray, truth in zip((levelled(heatmap, size) * 255).floor(), boxes, strict=True):
            of_largest, of_any = _best_iou(gray > levels, truth, inclusive=self.inclusive)
            largest.append(of_largest >= 0.5)
            best.append(of_any[:, None] >= torch.tensor(self.ious).to(of_any))
        return {"largest": torch.stack(largest).double(), "any": torch.stack(best).double()}

    def summary(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """Both accuracies, each at its best threshold."""
        return {
            "max_box_accuracy": means["largest"].amax(),
            "max_box_accuracy_v2": means["any"].amax(0).mean(),
        }


@dataclass(frozen=True)
class Pointing(Metric):
    """The pointing game: the share of images whose highest pixel lies less than `tolerance` pixels from the object."""

    source: ClassVar[str] = "Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016"
    quantities: ClassVar[Mapping[str, Number]] = {
        "pointing": Number("↑", "share of pictures"),
    }
    tolerance: float = 15.0

    def __call__(self, heatmap: Heatmap, truth: PictureMask) -> dict[str, Tensor]:
        """Values per image: 1 for a hit."""
        check_truth(heatmap, truth)
        height, width = truth.shape[1:]
        highest = levelled(heatmap, (height, width)).flatten(1).argmax(1)[:, None, None]
        rows, columns = (torch.arange(side, device=truth.device) for side in (height, width))
        squared = (rows[:, None] - highest // width) ** 2 + (columns - highest % width) ** 2
        # a tolerance below one pixel still accepts the pixel itself
        near = squared < max(self.tolerance**2, 1)
        return {"pointing": (near & truth).any(2).any(1).double()}


@dataclass(frozen=True)
class EnergyPointing(Metric):
    """The energy-based pointing game: the share of the map that lies on the object.

    Σ_object map / Σ map, of the map at picture size, min-max normalized.
    """

    source: ClassVar[str] = "Wang et al., Score-CAM, CVPR Workshops 2020"
    quantities: ClassVar[Mapping[str, Number]] = {
        "energy": Number("↑", "share of the map's sum"),
    }

    def __call__(self, heatmap: Heatmap, truth: PictureMask) -> dict[str, Tensor]:
        """Values per image."""
        check_truth(heatmap, truth)
        values: PictureMap = scaled(heatmap, (truth.shape[1], truth.shape[2])).double()
        return {"energy": (values * truth).sum((1, 2)) / values.sum((1, 2))}


def _counted(correct: Tensor | None, misclassified: bool) -> dict[str, Tensor]:
    """Which images count, where not all do."""
    if misclassified:
        return {}
    if correct is None:
        raise ShapeError(
            "misclassified images do not count here, and which they are is unknown. Give correct=, (batch,), "
            "or set misclassified=True."
        )
    return {"counted": correct}


def _best_iou(
    masks: Bool[Tensor, "masks height width"], truth: Boxes, *, inclusive: bool = False
) -> Float[Tensor, "2 masks"]:
    """Per mask, the best IoU with an object's box: of the largest component's box, and of any component's."""
    rows: list[Tensor] = []
    last = torch.tensor([masks.shape[2], masks.shape[1]], device=masks.device) - int(inclusive)
    parts = (component_boxes(part) for part in masks.split(16))  # fewer wait for the slowest, and fit the cache
    for found, pixels in chain.from_iterable(parts):
        cut = torch.cat([found[:, :2], torch.minimum(found[:, 2:], last)], 1)
        best = box_iou(cut, truth.to(masks.device), inclusive=inclusive).amax(1)
        rows.append(torch.stack([best[pixels.argmax()], best.amax()]))
    return torch.stack(rows, 1)
