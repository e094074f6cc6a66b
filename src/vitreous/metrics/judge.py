"""What a metric is, and the picture-sized map that it reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from vitreous.errors import DegenerateMap, ShapeError
from vitreous.shapes import Heatmap

__all__ = ["Judge", "Number", "PictureMap", "PictureMask", "check_truth", "scaled"]

PictureMap = Float[Tensor, "batch height width"]
"""One number per pixel."""
PictureMask = Bool[Tensor, "pictures height width"]
"""True where the object is, or where it is said to be."""


class Number(NamedTuple):
    """A number that is reported: whether more of it is better or less, and what it is."""

    better: Literal["↑", "↓"]
    meaning: str


@dataclass(frozen=True)
class Judge(ABC):
    """A metric: a frozen dataclass whose fields are its settings, called on a batch.

    A call gives named values per image, (batch, …), whose means over all images are what is reported, after
    `summary`. `Score` collects them. `counted`, (batch,), may be among the values: False leaves an image out.
    """

    source: ClassVar[str]
    """Where it was published."""
    reads: ClassVar[Literal["mask", "boxes", "model", "method"]]
    """What a call needs beside the heat maps: an object's mask, its boxes, the model, or the method itself."""
    numbers: ClassVar[Mapping[str, Number]]
    """What is reported."""
    on_grid: ClassVar[bool] = False
    """Whether it adds up the map's own values; others read the map at the size of the picture."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each value of one image."""
        return dict.fromkeys(self.numbers, ())

    @abstractmethod
    def __call__(self, *inputs: Any, **named: Any) -> dict[str, Tensor]:
        """Values per image."""

    def summary(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """What is reported, from the means over images."""
        return means


def scaled(heatmap: Heatmap, size: tuple[int, int]) -> PictureMap:
    """Maps at the size of the picture, each from 0 to 1. Every metric on pixels reads them like this.

    Bilinear with `align_corners=False`, then min-max of each map on its own, without an epsilon.

    Raises:
        DegenerateMap: a map is constant or not finite.

    >>> scaled(torch.tensor([[[3.0, 5.0]]]), (1, 4))
    tensor([[[0.0000, 0.2500, 0.7500, 1.0000]]])
    """
    wide = heatmap.detach().to(torch.promote_types(heatmap.dtype, torch.float32))
    wide = F.interpolate(wide[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    low, high = wide.amin((1, 2), keepdim=True), wide.amax((1, 2), keepdim=True)
    bad = (~wide.isfinite().all(2).all(1) | (low == high)[:, 0, 0]).nonzero()
    if len(bad):
        raise DegenerateMap("the heat map is constant or not finite", int(bad[0, 0]), "Leave out or repair such maps.")
    return (wide - low) / (high - low)


def check_truth(heatmap: Heatmap, truth: PictureMask) -> None:
    """Refuse masks that do not belong to these maps, or hold no object.

    Raises:
        ShapeError: as many masks as maps are needed, each with an object.
    """
    if len(heatmap) != len(truth):
        raise ShapeError(f"{len(heatmap)} heat maps got {len(truth)} masks. Give one mask per map.")
    if len(empty := (~truth.flatten(1).any(1)).nonzero()):
        raise ShapeError(f"the mask of image {int(empty[0, 0])} holds no object. Leave the image out.")
