"""RISE (Petsiuk et al., BMVC 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import ClassVar, Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Int
from torch import Tensor, nn

from vitreous.errors import ShapeError, check_setting
from vitreous.masking.fill import make_fill
from vitreous.masking.forward import Progress, masked_logits
from vitreous.masking.moves import moving_values
from vitreous.methods.explanation import Explanation
from vitreous.methods.method import Family
from vitreous.methods.requirements import check_at_least, check_product
from vitreous.settings.typed import Cells, Passes, Seed
from vitreous.shapes import Images
from vitreous.trace.recorder import record
from vitreous.trace.target import Predicted, Scale, Target

__all__ = ["RISE", "Shades", "draw_shades"]


@dataclass(frozen=True)
class RISE:
    """How well the model does, on average, when a place is visible: thousands of random masks, weighted by the score.

    heat = Σ_i (y_i − ȳ) · M_i / Σ_i M_i, y_i = y(x ⊙ M_i) and ȳ their mean, at the resolution of the picture: how much
    better the model does than on average where a place is visible. The paper's 1/(p·N) · Σ_i y_i · M_i (eq. 6, and the
    authors' code), which centered=False gives, adds ȳ times how often a place happened to be visible: on a picture of
    which the model is sure, the map then shows mostly that. A mask is a grid × grid of cells, each visible with
    probability p, enlarged to (grid + 1)² cells of ⌈side / grid⌉ pixels by bilinear interpolation and cropped to the
    picture at a random place. N is 4000 in the paper for VGG-16, 8000 for ResNet-50.

    The paper rounds the side of a cell down, and a mask may then be too small for the picture; here, as in the authors'
    code, it is rounded up. Their code mirrors cells at the outer edge of the enlarged mask, this continues them.

    Attributes:
        masks: N.
        grid: cells along each side.
        visible: p.
        centered: subtract the mean score, and divide by how often a place was visible; False is the paper's equation.
        score: "probability" or "logit".
        fill: what shows where a mask is dark: "mean" (as in the paper: zero after normalization), "black", "gray",
            "white", "blur".
        mean: of the pixels' normalization; `vitreous.explain` knows it from the model.
        std: likewise.
        seed: of the masks; every picture has the same.
        batch_size: masked pictures per forward pass.

    Needs only the model's input and output.
    Cost: N + 1 forward passes.

    >>> import torch, vitreous
    >>> vitreous.explain(vitreous.load(), torch.randn(1, 3, 128, 128), "rise", masks=64).heatmap.shape
    torch.Size([1, 128, 128])
    """

    title: ClassVar[str] = "RISE"
    source: ClassVar[str] = "Petsiuk et al., RISE, BMVC 2018"
    family: ClassVar[Family] = "pixels"
    signed: ClassVar[Literal[True]] = True
    slow: ClassVar[Literal[True]] = True

    masks: Passes = 4000
    grid: Cells = 7
    visible: float = 0.5
    centered: bool = True
    score: Scale = "probability"
    fill: str = "mean"
    mean: Sequence[float] = field(default=(), repr=False)
    std: Sequence[float] = field(default=(), repr=False)
    seed: Seed = 0
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
        for name in ("masks", "grid", "batch_size"):
            check_at_least(name, getattr(self, name), 1)
        check_product("masks", self.masks, "grid²", self.grid**2)
        if not 0 < self.visible < 1:
            raise ShapeError(f"`visible` must lie between 0 and 1; got {self.visible:g}. The paper takes 0.5.")
        logits = record(model, images).logits
        direction = target(logits)
        shades = draw_shades(self.masks, self.grid, self.visible, (images.shape[-2], images.shape[-1]), self.seed)
        fill = make_fill(self.fill, self.mean, self.std)
        masked = masked_logits(model, images, shades, fill, batch_size=self.batch_size, progress=progress)
        values = moving_values(masked, direction, self.score, "RISE").cpu()
        if self.centered:
            values = values - values.mean(1, keepdim=True)
        heatmap = torch.zeros(len(images), *shades.size, dtype=torch.float64)
        coverage = torch.zeros(shades.size, dtype=torch.float64)
        for start in range(
            0, self.masks, 64
        ):  # 64 masks at a time, however large the batch: sums must not depend on it
            part = slice(start, start + 64)
            light = 1 - shades[part].double()
            heatmap += torch.einsum("bm,mhw->bhw", values[:, part], light)
            coverage += light.sum(0)
        expected = torch.full_like(coverage, self.visible * self.masks)
        heatmap = heatmap / (coverage.clamp(min=torch.finfo(coverage.dtype).tiny) if self.centered else expected)
        return Explanation(heatmap.to(images), logits, direction.argmax(1), self)


@dataclass(frozen=True, eq=False)
class Shades:
    """What each random mask hides of a picture, from 0 to 1, made when asked.

    Attributes:
        dark: per mask, which cells are hidden.
        shift: per mask, (down, right) in pixels: where the picture lies in the enlarged mask.
        size: (height, width) of the picture.
    """

    dark: Bool[Tensor, "masks grid grid"]
    shift: Int[Tensor, "masks 2"]
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.dark)

    def __getitem__(self, part: slice) -> Tensor:
        grid = self.dark.shape[-1]
        enlarged = [(grid + 1) * ceil(side / grid) for side in self.size]
        shade = F.interpolate(self.dark[part, None].float(), enlarged, mode="bilinear", align_corners=False)[:, 0]
        each = torch.arange(len(shade))[:, None, None]
        rows, columns = (self.shift[part, axis, None] + torch.arange(self.size[axis]) for axis in (0, 1))
        return shade[each, rows[:, :, None], columns[:, None, :]]


def draw_shades(masks: int, grid: int, visible: float, size: tuple[int, int], seed: int) -> Shades:
    """Random masks: the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    dark = torch.rand(masks, grid, grid, generator=generator) >= visible
    shift = torch.stack([torch.randint(ceil(side / grid), (masks,), generator=generator) for side in size], 1)
    return Shades(dark, shift, size)
