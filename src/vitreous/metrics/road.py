"""ROAD: MoRF and LeRF with pixels that are not blotted out but filled in from their neighbors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vitreous.errors import ShapeError, check_setting
from vitreous.metrics.bands import ranks
from vitreous.metrics.metric import Metric, Number, PictureMask, levelled
from vitreous.metrics.perturbation import CurveScale, Order, bands_of, values_of
from vitreous.settings.typed import Passes, Seed
from vitreous.shapes import Heatmap, Images, TargetClass
from vitreous.trace.edit import evaluation
from vitreous.trace.running import run
from vitreous.trace.target import logits_of

__all__ = ["Road", "impute"]

_NEIGHBORS = torch.tensor([[1.0, 2.0, 1.0], [2.0, 0.0, 2.0], [1.0, 2.0, 1.0]]) / 12


@dataclass(frozen=True)
class Road(Metric):
    """The class score while pixels are removed in the map's order and filled in so that their absence tells nothing.

    A removed pixel is the weighted mean of its eight neighbors (1/6 beside, 1/12 across), which are removed or not: a
    linear system, solved for each picture, plus noise. `morf` and `lerf` are the means of the score over 10 %, 20 % …
    90 % removed; `road` = `lerf` − `morf`.

    Attributes:
        parts: how many steps would remove all pixels; all but the first and last are taken.
        noise: standard deviation, in pixels from 0 to 1. Needs `std`.
        tolerance: what is left of the linear system's error; the noise hides more.
        seed: of the noise, which is the same for every picture.

    Cost: 2 · (parts − 1) forward passes per image, and as many systems to solve.
    """

    source: ClassVar[str] = (
        "Rong et al., A Consistent and Efficient Evaluation Strategy for Attribution Methods, ICML 2022"
    )
    quantities: ClassVar[Mapping[str, Number]] = {
        "morf": Number("↓", "mean score, most relevant pixels removed first"),
        "lerf": Number("↑", "mean score, least relevant pixels removed first"),
        "road": Number("↑", "lerf − morf"),
    }
    parts: Passes = 10
    noise: float = 0.01
    tolerance: float = 1e-4
    seed: Seed = 0
    scale: CurveScale = "accuracy"
    std: tuple[float, ...] = ()
    batch_size: int = 64

    def __post_init__(self) -> None:
        """Refuse what has no step."""
        check_setting("scale", self.scale, get_args(CurveScale))
        if self.parts < 2:
            raise ShapeError(f"`parts` must be at least 2; got {self.parts}. The paper takes 10.")

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Both means."""
        return {"morf": (), "lerf": ()}

    @torch.no_grad()
    def __call__(self, model: nn.Module, images: Images, heatmap: Heatmap, target: TargetClass) -> dict[str, Tensor]:
        """Values per image.

        Raises:
            ShapeError: there is noise to add, and how pixels were normalized is unknown.
        """
        noise = self._noise(images)
        pixels = images.shape[2] * images.shape[3]
        orders: tuple[Order, ...] = ("morf", "lerf")
        bands = [band for order in orders for band in bands_of(order, pixels, self.parts, self.parts - 1)[1:]]
        low, high = torch.tensor(bands, device=images.device).T[:, :, None, None]
        rank = ranks(levelled(heatmap, (images.shape[2], images.shape[3])))
        parts: list[Tensor] = []
        jobs = [(image, band) for image in range(len(images)) for band in range(len(bands))]
        with evaluation(model):
            for start in range(0, len(jobs), self.batch_size):
                image, band = torch.tensor(jobs[start : start + self.batch_size], device=images.device).T
                hidden = (rank[image] >= low[band]) & (rank[image] < high[band])
                filled = impute(images[image], hidden, tolerance=self.tolerance) + noise * hidden[:, None]
                parts.append(logits_of(run(model, filled), type(model).__name__, len(filled)))
        values = values_of(torch.cat(parts).unflatten(0, (len(images), len(bands))), target, self.scale)
        return dict(zip(orders, values.double().unflatten(1, (2, -1)).mean(2).unbind(1), strict=True))

    def summary(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """Both, and how far they are apart."""
        return means | {"road": means["lerf"] - means["morf"]}

    def _noise(self, images: Images) -> Tensor:
        if self.noise == 0:
            return images.new_zeros(())
        if len(self.std) != images.shape[1]:
            raise ShapeError(
                f"`noise` is in pixels, and `std` has {len(self.std)} values for {images.shape[1]} channels. "
                "Give what pixels were divided by, or set noise=0."
            )
        drawn = torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(self.seed)).to(images)
        return self.noise * drawn / torch.tensor(self.std).to(images)[:, None, None]


def impute(images: Images, hidden: PictureMask, *, tolerance: float = 1e-4) -> Images:
    """The images with each hidden pixel the weighted mean of its neighbors, by conjugate gradients.

    Args:
        images: (batch, channels, height, width).
        hidden: (batch, height, width); at least one pixel of each image is not.
        tolerance: what is left of each channel's error, relative.

    Raises:
        ShapeError: an image is hidden all over.
    """
    if hidden.flatten(1).all(1).any():
        raise ShapeError("every pixel of an image is hidden, so none is left to fill in from. Leave some.")
    # half precision would never reach the tolerance
    given, images = images, images.to(torch.promote_types(images.dtype, torch.float32))
    unknown = hidden[:, None].to(images)
    weights = _NEIGHBORS.to(images)[None, None]
    channels = images.shape[1]

    def around(values: Tensor) -> Tensor:
        return F.conv2d(values, weights.expand(values.shape[1], 1, 3, 3), padding=1, groups=values.shape[1])

    def product(one: Tensor, other: Tensor) -> Tensor:
        return (one * other).sum((2, 3), keepdim=True)

    total = around(torch.ones_like(unknown[:1]))  # less than 1 at the borders
    known = 1 - unknown
    solution = (images * known).sum((2, 3), keepdim=True) / known.sum((2, 3), keepdim=True) * unknown
    right = unknown * around(images * known)
    residual = right - unknown * (total * solution - around(solution))
    step = residual.clone()
    error = product(residual, residual)
    enough = tolerance**2 * product(right, right).clamp(min=torch.finfo(images.dtype).tiny)
    for _ in range(10 * sum(images.shape[2:])):
        going = error > enough  # a channel that is solved stays as it is, whatever the rest of the batch does
        if not going.any():
            break
        image_of_step = unknown * (total * step - around(step))
        length = torch.where(going, error / product(step, image_of_step).where(going, 1), 0)
        solution = solution + length * step
        residual = residual - length * image_of_step
        new = torch.where(going, product(residual, residual), error)
        step = torch.where(going, residual + new / error.where(going, 1) * step, step)
        error = new
    return torch.where(hidden[:, None].expand(-1, channels, -1, -1), solution.to(given), given)
