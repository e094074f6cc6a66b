"""Occlusion (Zeiler & Fergus, ECCV 2014)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor, nn

from vitreous.errors import ShapeError, check_setting
from vitreous.masking.fill import make_fill
from vitreous.masking.forward import Progress, masked_logits
from vitreous.masking.moves import moving_values
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Family
from vitreous.methods.requirements import check_at_least
from vitreous.shapes import Images
from vitreous.trace.recorder import record
from vitreous.trace.target import Predicted, Scale, Target

__all__ = ["Occlusion", "SlidingWindows"]


@dataclass(frozen=True)
class Occlusion:
    """How much the score drops when a square around each place is covered.

    heat[place] = y(x) - y(x with the window around the place covered). Places are the centers of cells of stride ×
    stride pixels, so that the map lies edge to edge on the picture; at the border a window covers what there is of it.
    The paper covers with gray and maps the probability; it states neither size nor stride.

    Attributes:
        window: side of the covering square, in pixels.
        stride: distance of the places, in pixels; divides the picture.
        score: "probability" or "logit".
        fill: what covers: "black", "gray", "white", "mean", "blur".
        mean: of the pixels' normalization; `vitreous.explain` knows it from the model.
        std: likewise.
        batch_size: covered pictures per forward pass.

    Needs only the model's input and output.
    Cost: a forward pass for each place, 196 at 224 × 224 pixels, and one more.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "occlusion", window=16).heatmap.shape
    torch.Size([1, 8, 8])
    """

    title: ClassVar[str] = "Occlusion"
    source: ClassVar[str] = "Zeiler & Fergus, Visualizing and Understanding Convolutional Networks, ECCV 2014"
    family: ClassVar[Family] = "pixels"
    signed: ClassVar[Literal[True]] = True
    slow: ClassVar[Literal[True]] = True

    window: int = 32
    stride: int = 16
    score: Scale = "probability"
    fill: str = "gray"
    mean: Sequence[float] = field(default=(), repr=False)
    std: Sequence[float] = field(default=(), repr=False)
    batch_size: int = 64

    def __call__(
        self,
        model: nn.Module,
        images: Images,
        target: Target = Predicted(),  # noqa: B008
        *,
        progress: Progress | None = None,
    ) -> Explanation:
        """Explain a batch of normalised images."""
        check_setting("score", self.score, get_args(Scale))
        for name in ("window", "stride", "batch_size"):
            check_at_least(name, getattr(self, name), 1)
        logits = record(model, images).logits
        direction = target(logits)
        windows = SlidingWindows((images.shape[-2], images.shape[-1]), self.window, self.stride)
        fill = make_fill(self.fill, self.mean, self.std)
        covered = masked_logits(model, images, windows, fill, batch_size=self.batch_size, progress=progress)
        values = moving_values(torch.cat([logits[:, None], covered], 1), direction, self.score, "Occlusion")
        heatmap = (values[:, :1] - values[:, 1:]).unflatten(1, windows.places)
        return Explanation(heatmap.to(images), logits, direction.argmax(1), self)


@dataclass(frozen=True)
class SlidingWindows:
    """A mask for each place, row by row, made when asked: True in the window around it.

    Attributes:
        size: (height, width) of the picture.
        window: side of the square.
        stride: side of the cells that the places are centers of.
    """

    size: tuple[int, int]
    window: int
    stride: int

    def __post_init__(self) -> None:
        if any(side % self.stride for side in self.size):
            raise ShapeError(
                f"`stride` {self.stride} does not divide {self.size[0]}×{self.size[1]} pixels. Give a stride that does."
            )

    @property
    def places(self) -> tuple[int, int]:
        """(rows, columns) of places."""
        return self.size[0] // self.stride, self.size[1] // self.stride

    def __len__(self) -> int:
        return self.places[0] * self.places[1]

    def __getitem__(self, part: slice) -> Tensor:
        place = torch.arange(len(self))[part]
        down, across = self._within(place // self.places[1], 0), self._within(place % self.places[1], 1)
        return down[:, :, None] & across[:, None, :]

    def _within(self, cell: Tensor, axis: int) -> Tensor:
        """The rows (or columns) of pixels whose centers are less than half a window from the cell's center."""
        twice = 2 * torch.arange(self.size[axis]) + 1 - self.stride * (2 * cell[:, None] + 1)
        return twice.abs() < self.window
