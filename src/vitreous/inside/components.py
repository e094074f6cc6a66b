"""The principal components of patch features, as colors: `components(model, pictures)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vitreous.data.depth import Window
from vitreous.errors import DegenerateMap, ShapeError
from vitreous.explaining.explain import Preparation, inputs_of
from vitreous.models.zoo import LoadedModel, describe
from vitreous.settings.arguments import checked
from vitreous.settings.typed import Count
from vitreous.trace.features import Features, PatchFeatures, patch_features
from vitreous.trace.reading import Said, reading

if TYPE_CHECKING:
    from vitreous.explaining.explain import Picture

__all__ = ["Components", "components", "fitted", "foreground_of", "principal"]

_COLORS = 3


@dataclass(frozen=True, repr=False)
class Components:
    """What varies most among the patches of some pictures.

    Attributes:
        values: the first three principal components of each patch; of the background too, where it is told apart.
        share: of the variance that each of the three holds.
        foreground: the patches on which they were fitted: all, unless the background was told apart.
        layer: dotted name of the module that was read.
        of: which features.
    """

    values: Float[Tensor, "images h w 3"]
    share: Float[Tensor, " 3"]
    foreground: Bool[Tensor, "images h w"]
    layer: str
    of: Features

    @property
    def colors(self) -> Float[Tensor, "images h w 3"]:
        """Red, green and blue, from 0 to 1: each component from its lowest to its highest value on all foreground.

        The same color means the same in all pictures; the background is black.
        """
        seen = self.values[self.foreground]
        low, high = seen.amin(0), seen.amax(0)
        spread = torch.where(high > low, high - low, 1)
        return ((self.values - low) / spread).clamp(0, 1) * self.foreground[..., None]


def principal(
    rows: Float[Tensor, "rows channels"], count: int
) -> tuple[Float[Tensor, " channels"], Float[Tensor, "count channels"], Float[Tensor, " count"]]:
    """The mean, the first principal axes, and the share of the variance along each.

    An axis has no sign of its own: here its largest entry is positive, so the same rows give the same numbers.
    """
    mean = rows.mean(0)
    _, spread, axes = torch.linalg.svd(rows - mean, full_matrices=False)
    axes, variance = axes[:count], spread.square()
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    return mean, axes * largest.sign(), variance[:count] / variance.sum()


def foreground_of(first: Float[Tensor, "images h w"]) -> Bool[Tensor, "images h w"]:
    """The patches on that side of zero of a first component which holds the smaller share of the pictures' border.

    That the border is rather background is our own rule for which side is which, where DINOv2 chose by eye.
    """
    edge = torch.zeros_like(first, dtype=torch.bool)
    edge[:, [0, -1]] = edge[:, :, [0, -1]] = True
    above = first > 0
    return above if above[edge].double().mean() <= 0.5 else ~above


@checked("model", "images", "preprocess")
def components(
    model: nn.Module | LoadedModel,
    images: Tensor | Picture | Sequence[Picture],
    *,
    layer: str = "",
    of: Features = "tokens",
    foreground: bool = False,
    batch_size: Count = 8,
    preprocess: Preparation | None = None,
    pixel_window: Window = None,
    **how: Unpack[Said],
) -> Components:
    """Find the three directions in which the features of patches vary most, over one picture or many, to be colors.

    z = (f − mean) · [v₁ v₂ v₃], the first right singular vectors of the centered features of all patches of all
    pictures. With `foreground`, the side of the first component's zero that holds less of the border is kept, and the
    three are fitted once more on that, as in the figures of DINOv2 (Oquab et al., arXiv 2304.07193).

    Args:
        model: your own module, or what `vitreous.load` gave; it needs no classifier. It comes back as it was.
        images: as in `explain`: a tensor, taken as the model's normalized input, or pictures.
        layer: as in `similarity`.
        of: "tokens", "keys", "queries" or "values".
        foreground: tell the background apart, and leave it black.
        batch_size: how many images run at once; bounds memory.
        preprocess: as in `explain`: how pictures become the model's input, where it does not say.
        pixel_window: as in `explain`: of gray pictures of more than 8 bits.
        how: the model is read, as in `similarity`.

    Raises:
        ShapeError: too few patches or channels for three components.
        DegenerateMap: all patches are alike, or next to none is foreground.
        ExplainError: as `similarity`.

    Cost: as `similarity`, for every batch; a singular value decomposition of all patches in float64.

    >>> import torch, vitreous
    >>> vitreous.components(vitreous.load(), torch.randn(2, 3, 128, 128)).colors.shape
    torch.Size([2, 8, 8, 3])
    """
    subject = describe(model).read_as(**how)
    inputs, _ = inputs_of(subject, images, preprocess, pixel_window)
    with reading(subject.reading):
        first, *rest = inputs.split(batch_size)
        read = patch_features(subject.model, first, layer, of)
        maps = [patch_features(subject.model, part, read.layer, of).maps for part in rest]
    return fitted(PatchFeatures(read.layer, torch.cat([read.maps, *maps])), of, foreground=foreground)


def fitted(read: PatchFeatures, of: Features, *, foreground: bool = False) -> Components:
    """The components of features that were read before.

    Raises:
        ShapeError, DegenerateMap: as `components`.
    """
    maps, layer = read.maps, read.layer
    features = maps.movedim(1, -1).double().cpu()  # not every device has float64
    rows = features.flatten(0, 2)
    if min(len(rows) - 1, rows.shape[1]) < _COLORS:
        raise ShapeError(
            f"`{layer}` gave {len(rows)} patches of {rows.shape[1]} channels, too few for {_COLORS} components. Give "
            "more pictures, or another layer."
        )
    rounding = 4 * torch.finfo(maps.dtype).eps * rows.abs().max().item()
    kept = torch.ones(features.shape[:3], dtype=torch.bool)
    _check_varied(rows, rounding, layer, of)
    mean, axes, share = principal(rows, _COLORS)
    if foreground:
        kept = foreground_of((features - mean) @ axes[0])
        if kept.sum() <= _COLORS:
            raise DegenerateMap(
                f"{int(kept.sum())} of {kept.numel()} patches lie on the side of the first component that has less of "
                f"the border, too few for {_COLORS} components",
                0,
                "Leave foreground=False, or give more pictures.",
            )
        _check_varied(features[kept], rounding, layer, of)
        mean, axes, share = principal(features[kept], _COLORS)
    return Components((features - mean) @ axes.mT, share, kept, layer, of)


def _check_varied(rows: Float[Tensor, "rows channels"], rounding: float, layer: str, of: Features) -> None:
    if (rows - rows.mean(0)).abs().max() <= rounding:
        raise DegenerateMap(f"the {of} of `{layer}` are the same at every patch", 0, "Read another layer: layer=.")
