"""Take pixels away in the order of the map and watch the class score: MoRF, LeRF, ABPC, insertion, deletion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from vitreous.errors import ShapeError, check_setting
from vitreous.metrics.bands import Band, band_logits, one_hot
from vitreous.metrics.fills import metric_fill
from vitreous.metrics.metric import Axes, Metric, Number
from vitreous.settings.typed import Passes
from vitreous.shapes import Heatmap, Images, TargetClass
from vitreous.trace.reading import link_of
from vitreous.trace.target import value_of

__all__ = ["PRESETS", "CurveScale", "Perturbation", "bands_of", "values_of"]

Order = Literal["morf", "lerf", "insertion"]
CurveScale = Literal["probability", "logit", "accuracy"]
Area = Literal["mean", "trapezoid"]
_ORDERS = {
    "morf": ("most relevant pixels hidden first", "share of pixels hidden"),
    "lerf": ("least relevant pixels hidden first", "share of pixels hidden"),
    "insertion": ("most relevant pixels put back first", "share of pixels put back"),
}
"""By order, what is done, and what lies along the curve."""
_SCALES = {
    "probability": "probability of the class",
    "logit": "score of the class (logit)",
    "accuracy": "share of pictures still taken for the class",
}


@dataclass(frozen=True)
class Perturbation(Metric):
    """Areas under the curves of a class score while pixels are taken away, or put back, in the order of the map.

    The map at picture size ranks all pixels; after step i of `parts`, ⌊pixels · i / parts⌋ of them have changed:

    - `morf`: the most relevant first (deletion, positive perturbation): a good map has a small area,
    - `lerf`: the least relevant first (negative perturbation): a large area,
    - `insertion`: the most relevant are put back first: a large area,
    - `abpc` = `lerf` − `morf`.

    Attributes:
        morf: the fill of that curve; empty for no such curve.
        lerf: likewise.
        insertion: likewise.
        parts: how many steps take all pixels.
        last: how many steps are taken.
        scale: the score is the class's probability, its logit, or whether it is the predicted class (accuracy).
        area: "mean" of the values, or "trapezoid" over the shares of pixels.
        misclassified: images count whose prediction is not the target.
        mean: per channel, what was subtracted from the pixels; for fills that are pixel values.
        std: per channel, what they were divided by.
        batch_size: masked images per forward pass.
        precision: what autocast computes in; None for the model's own.

    The defaults are AG-CAM's; `PRESETS` has those of others. What is explained and followed is for the caller: AG-CAM
    does both with the label; Chefer et al. explain the predicted class and follow the label (their areas are ours ×
    100, at most 90); RISE takes the predicted class. Pixels of equal value go in reading order; in the authors' codes
    their order is undefined, which moves a curve by up to 1e-4 where borders are flat.

    Cost: one forward pass per image and different masked picture; AG-CAM's two curves of 11 need 20.
    """

    source: ClassVar[str] = "Leem & Seo, AAAI 2024; Chefer et al., CVPR 2021; Petsiuk et al., RISE, BMVC 2018"
    quantities: ClassVar[Mapping[str, Number]] = {
        "morf": Number("↓", "area under the score, most relevant pixels taken away first"),
        "lerf": Number("↑", "area under the score, least relevant pixels taken away first"),
        "insertion": Number("↑", "area under the score, most relevant pixels put back first"),
        "abpc": Number("↑", "area between both curves, lerf − morf"),
    }
    morf: str = "mean"
    lerf: str = "mean"
    insertion: str = ""
    parts: Passes = 10
    last: int = 10
    scale: CurveScale = "probability"
    area: Area = "mean"
    misclassified: bool = True
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    batch_size: int = 64
    precision: torch.dtype | None = None

    def __post_init__(self) -> None:
        """Refuse what is no curve."""
        check_setting("area", self.area, get_args(Area))
        check_setting("scale", self.scale, get_args(CurveScale))
        if not 1 <= self.last <= self.parts or not self.fills:
            raise ShapeError(
                f"{self.last} of {self.parts} steps with the fills {self.fills} make no curve. "
                "Take at least one step, at most `parts`, and name a fill for at least one order."
            )

    @property
    def fills(self) -> dict[Order, str]:
        """The curves, and what each puts in the place of pixels."""
        orders: dict[Order, str] = {"morf": self.morf, "lerf": self.lerf, "insertion": self.insertion}
        return {order: fill for order, fill in orders.items() if fill}

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """A value per step, the untouched picture's first."""
        return dict.fromkeys(self.fills, (self.last + 1,))

    def __call__(self, model: nn.Module, images: Images, heatmap: Heatmap, target: TargetClass) -> dict[str, Tensor]:
        """The curves of each image."""
        curves: dict[str, Tensor] = {}
        correct = torch.ones_like(target, dtype=torch.bool)
        for fill in dict.fromkeys(self.fills.values()):  # curves with one fill share pictures
            orders: list[Order] = [order for order, chosen in self.fills.items() if chosen == fill]
            pixels = images.shape[2] * images.shape[3]
            bands = [band for order in orders for band in bands_of(order, pixels, self.parts, self.last)]
            logits = band_logits(
                model,
                images,
                heatmap,
                [*bands, (0, 0)],
                metric_fill(fill, self.mean, self.std),
                batch_size=self.batch_size,
                precision=self.precision,
            )
            correct = logits[:, -1].argmax(1) == target
            values = values_of(logits[:, :-1], target, self.scale)
            curves |= dict(zip(orders, values.split(self.last + 1, 1), strict=True))
        return curves if self.misclassified else curves | {"counted": correct}

    def summary(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """The areas, then the mean curves themselves."""
        areas = {order: self._area(curve) for order, curve in means.items()}
        if {"morf", "lerf"} <= areas.keys():
            areas["abpc"] = areas["lerf"] - areas["morf"]
        return areas | {f"{order}_curve": curve for order, curve in means.items()}

    def axes(self, curve: str, values: int) -> Axes:
        """Over the share of pixels that have changed."""
        title, across = _ORDERS[curve.removesuffix("_curve")]
        return Axes([step / self.parts for step in range(values)], across, _SCALES[self.scale], title)

    def _area(self, curve: Tensor) -> Tensor:
        return curve.mean() if self.area == "mean" else torch.trapezoid(curve, dx=1 / self.parts)


def bands_of(order: Order, pixels: int, parts: int, last: int) -> list[Band]:
    """The ranks that are hidden at each step.

    >>> bands_of("lerf", 10, 3, 3)
    [(10, 10), (7, 10), (4, 10), (0, 10)]
    """
    steps = [pixels * step // parts for step in range(last + 1)]
    match order:
        case "morf":
            return [(0, step) for step in steps]
        case "lerf":
            return [(pixels - step, pixels) for step in steps]
        case "insertion":
            return [(step, pixels) for step in steps]


def values_of(logits: Tensor, target: TargetClass, scale: CurveScale) -> Tensor:
    """The class's probability, its logit, or 1 where it is predicted and 0 elsewhere: (batch, masks).

    Raises:
        UnknownName: no such scale.
        ShapeError: not one class per image, none of the model's, or no other that could be predicted.
    """
    check_setting("scale", scale, get_args(CurveScale))
    direction = one_hot(target, logits)
    if scale == "accuracy":
        if logits.shape[2] == 1:
            raise ShapeError('a model of a single class has no accuracy. Set scale="probability" or "logit".')
        if link_of(logits.shape[2]) == "identity":
            raise ShapeError('values of a regression have no accuracy. Set scale="logit".')
        return (logits.argmax(2) == target[:, None]).to(logits)
    return value_of(logits.double(), direction.double(), scale)


PRESETS = {
    "ag_cam": Perturbation(),
    "chefer": Perturbation(morf="black", lerf="black", last=9, scale="accuracy", area="trapezoid"),
    "rise": Perturbation(lerf="", insertion="rise_blur", parts=224, last=224, area="trapezoid"),
}
"""Published protocols. Chefer's fill is black: give `mean` and `std` with `dataclasses.replace`."""
