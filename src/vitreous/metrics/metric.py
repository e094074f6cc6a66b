"""What a metric is, and the picture-sized map that it reads."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vitreous.errors import DegenerateMap, ShapeError, UnknownName
from vitreous.metrics.boxes import Boxes
from vitreous.shapes import Heatmap, Images, TargetClass

__all__ = [
    "Axes",
    "Explain",
    "Inputs",
    "Metric",
    "Number",
    "PictureMap",
    "PictureMask",
    "check_truth",
    "levelled",
    "scaled",
]

Explain = Callable[[nn.Module, Images], Heatmap]
"""A method with its target fixed: the same classes must be explained in every call."""

PictureMap = Float[Tensor, "batch height width"]
"""One number per pixel."""
PictureMask = Bool[Tensor, "pictures height width"]
"""True where the object is, or where it is said to be."""


class Number(NamedTuple):
    """A number that is reported: whether more of it is better or less, and what it is."""

    better: Literal["↑", "↓"]
    meaning: str


class Axes(NamedTuple):
    """How a curve that is reported is drawn.

    Attributes:
        x: where each of its values lies.
        across: what that is.
        up: what the values are.
        title: what is done along the curve.
    """

    x: Sequence[float]
    across: str
    up: str
    title: str


@dataclass(frozen=True)
class Inputs:
    """What is known of a batch. A metric is given those of these that its call has parameters for.

    Attributes:
        heatmap: the maps, on the patch grid.
        images: the model's input.
        model: that was explained.
        explain: the method, for these images' classes.
        target: the classes whose score is followed; −1 where that is unknown.
        correct: whether the model classifies the image as its label says; None where there is no label.
        boxes: of the objects, in pixels of the input; None where there is none.
        masks: of the objects, on the pixels of the input; None where there is none.
        of_blocks: the maps are of whole blocks, which keep their edges at the size of the picture.
    """

    heatmap: Heatmap
    images: Images
    model: nn.Module
    explain: Explain
    target: TargetClass
    correct: Sequence[bool | None]
    boxes: Sequence[Boxes | None]
    masks: Sequence[Bool[Tensor, "height width"] | None]
    of_blocks: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the pictures."""
        return self.images.shape[2], self.images.shape[3]

    @property
    def truth(self) -> PictureMask:
        """The masks, of images that all have one."""
        return torch.stack([mask for mask in self.masks if mask is not None]).to(self.heatmap.device)

    @property
    def blocks(self) -> PictureMap:
        """The maps at the size of the picture, each number on the whole of its block."""
        return F.interpolate(self.heatmap[:, None], self.size, mode="nearest-exact")[:, 0]

    def read_by(self, metric: Metric) -> Tensor:
        """The maps as a metric reads them: their own numbers, or at the size of the picture where blocks keep edges."""
        return self.blocks if self.of_blocks and not metric.on_grid else self.heatmap

    def lack(self, name: str, at: int) -> str:
        """Why an image has no such input; empty where it has."""
        if name == "boxes" and self.boxes[at] is None:
            return "there is no box"
        if name == "truth" and self.masks[at] is None:
            return "there is no mask"
        if name == "target" and self.target[at] < 0:
            return "there is no label whose score to follow. Match labels by position, or follow the predicted class"
        if name == "correct" and self.correct[at] is None:
            return "there is no label, and misclassified pictures do not count"
        return ""


@dataclass(frozen=True)
class Metric(ABC):
    """A metric: a frozen dataclass whose fields are its settings, called on a batch.

    The parameters of a call are named after what they are of `Inputs`: that says all about what a metric needs, and
    whoever has a batch calls `of`. A call gives named values per image, (batch, …), whose means over all images are
    what is reported, after `summary`. `Score` collects them. `counted`, (batch,), may be among the values: False leaves
    an image out.
    """

    source: ClassVar[str]
    """Where it was published."""
    quantities: ClassVar[Mapping[str, Number]]
    """What is reported."""
    on_grid: ClassVar[bool] = False
    """Whether it adds up the map's own values; others read the map at the size of the picture."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each value of one image."""
        return dict.fromkeys(self.quantities, ())

    @classmethod
    def input_names(cls) -> tuple[str, ...]:
        """Names of the inputs that it is called with.

        Raises:
            UnknownName: a parameter of the call is none of `Inputs`.

        >>> from vitreous.metrics.localization import Pointing
        >>> Pointing.input_names()
        ('heatmap', 'truth')
        """
        names = tuple(inspect.signature(cls.__call__).parameters)[1:]
        known = (*Inputs.__dataclass_fields__, "size", "truth")
        for name in names:
            if name not in known:
                raise UnknownName(f"input of a metric, which a parameter of `{cls.__name__}.__call__` is", name, known)
        return names

    def axes(self, curve: str, values: int) -> Axes:
        """How a curve of so many values is drawn, where `summary` gives one."""
        return Axes(range(values), "step", curve, curve)

    def lack(self, inputs: Inputs, at: int) -> str:
        """What an image has not that this metric needs; empty where it has all."""
        return next(filter(None, (inputs.lack(name, at) for name in self._needs())), "")

    def of(self, inputs: Inputs) -> dict[str, Tensor]:
        """Values per image, of images that lack nothing."""
        values = {name: inputs.read_by(self) if name == "heatmap" else getattr(inputs, name) for name in self._needs()}
        if "correct" in values:
            values["correct"] = torch.tensor(values["correct"], device=inputs.heatmap.device)
        return self(**values)

    def _needs(self) -> list[str]:
        """Which images are classified right matters only where others do not count."""
        return [name for name in self.input_names() if name != "correct" or not getattr(self, "misclassified", True)]

    @abstractmethod
    def __call__(self, *inputs: Any, **named: Any) -> dict[str, Tensor]:
        """Values per image."""

    def summary(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """What is reported, from the means over images."""
        return means


def scaled(heatmap: Heatmap, size: tuple[int, int]) -> PictureMap:
    """Maps at the size of the picture, each from 0 to 1. Every metric on pixels reads them like this, or `levelled`.

    Bilinear with `align_corners=False`, then min-max of each map on its own, without an epsilon.

    Raises:
        DegenerateMap: a map is constant or not finite.

    >>> scaled(torch.tensor([[[3.0, 5.0]]]), (1, 4))
    tensor([[[0.0000, 0.2500, 0.7500, 1.0000]]])
    """
    wide = heatmap.detach().to(torch.promote_types(heatmap.dtype, torch.float32))
    wide = F.interpolate(wide[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    low, high = wide.amin((1, 2), keepdim=True), wide.amax((1, 2), keepdim=True)
    rounding = 4 * torch.finfo(wide.dtype).eps * wide.abs().amax((1, 2))  # what enlarging alone tells apart
    bad = (~wide.isfinite().all(2).all(1) | ((high - low)[:, 0, 0] <= rounding)).nonzero()
    if len(bad):
        raise DegenerateMap("the heat map is constant or not finite", int(bad[0, 0]), "Leave out or repair such maps.")
    return (wide - low) / (high - low)


def levelled(heatmap: Heatmap, size: tuple[int, int]) -> PictureMap:
    """`scaled` maps for what compares their pixels: those of one value are equal.

    Enlarged in double and compared in single precision, since rounding would put the flat borders of a map in an order
    of its own, another one for each batch size and processor.
    """
    return scaled(heatmap.double(), size).float()


def check_truth(heatmap: Heatmap, truth: PictureMask) -> None:
    """Refuse masks that do not belong to these maps, or hold no object.

    Raises:
        ShapeError: as many masks as maps are needed, each with an object.
    """
    if len(heatmap) != len(truth):
        raise ShapeError(f"{len(heatmap)} heat maps got {len(truth)} masks. Give one mask per map.")
    if len(empty := (~truth.flatten(1).any(1)).nonzero()):
        raise ShapeError(f"the mask of image {int(empty[0, 0])} holds no object. Leave the image out.")
