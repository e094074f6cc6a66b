"""What a model has found in the patches of a class's pictures: `concepts(model, pictures)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.data.depth import Window
from vitreous.errors import UnknownName
from vitreous.explaining.explain import Preparation, inputs_of
from vitreous.inside.factors import factorize, loadings
from vitreous.models.zoo import LoadedModel, describe
from vitreous.settings.arguments import checked
from vitreous.settings.typed import Count
from vitreous.shapes import FeatureMaps, Images
from vitreous.trace.features import PatchFeatures, patch_features
from vitreous.trace.reading import Said, reading

if TYPE_CHECKING:
    from vitreous.explaining.explain import Picture

__all__ = ["Concepts", "PatchOf", "concepts", "find_concepts", "in_patches", "read_patches"]


@dataclass(frozen=True)
class PatchOf:
    """A patch that shows a concept.

    Attributes:
        image: its picture's place among those that were given.
        row: from 0.
        column: from 0.
        much: of the concept it has.
    """

    image: int
    row: int
    column: int
    much: float


@dataclass(frozen=True, repr=False)
class Concepts:
    """Directions of which the patches of some pictures are sums, none taken less than zero times.

    A patch's features are about mean + Σₖ much[k] · directions[k], and never a concept's opposite.

    Attributes:
        maps: how much of each concept every patch has.
        directions: of length 1, the one that makes the most of the patches first.
        mean: of the features of all patches: what a patch without any concept has.
        explained: the share of the patches' variance that concepts make up; 1 for all.
        layer: dotted name of the module that was read.
    """

    maps: Float[Tensor, "images concepts h w"]
    directions: Float[Tensor, "concepts channels"]
    mean: Float[Tensor, " channels"]
    explained: float
    layer: str

    @property
    def shares(self) -> Float[Tensor, " concepts"]:
        """Σ much² of each over that of all."""
        held = self.maps.double().square().sum((0, 2, 3))
        return held / held.sum()

    def patches(self, concept: int, most: int = 9) -> tuple[PatchOf, ...]:
        """The patches that have the most of a concept, the most first; of every picture one.

        Raises:
            UnknownName: there is no such concept.
        """
        here = self._of(concept)
        width = here.shape[2]
        much, at = here.flatten(1).max(1)
        order = much.argsort(descending=True, stable=True)[:most].tolist()
        return tuple(
            PatchOf(each, *divmod(int(at[each]), width), much[each].item()) for each in order if much[each] > 0
        )

    def pictures(self, concept: int, most: int = 9) -> tuple[int, ...]:
        """The places of the pictures that have the most of a concept in all, the most first.

        Raises:
            UnknownName: there is no such concept.
        """
        much = self._of(concept).flatten(1).sum(1)
        return tuple(at for at in much.argsort(descending=True, stable=True)[:most].tolist() if much[at] > 0)

    def _of(self, concept: int) -> Float[Tensor, "images h w"]:
        count = len(self.directions)
        if not 0 <= concept < count:
            raise UnknownName("concept", str(concept), [f"0 … {count - 1}"])
        return self.maps[:, concept]


@checked("model", "images", "preprocess")
def concepts(
    model: nn.Module | LoadedModel,
    images: Tensor | Picture | Sequence[Picture],
    count: Count = 8,
    *,
    layer: str = "",
    batch_size: Count = 8,
    preprocess: Preparation | None = None,
    pixel_window: Window = None,
    **how: Unpack[Said],
) -> Concepts:
    """Find a few directions of which the features of patches are sums, over the pictures of a class.

    After CRAFT (Fel et al., CVPR 2023), which factorizes features that are none below zero. Those of transformers are
    signed, so the features less their mean are factorized: how much of a concept a patch has is at least zero, and
    directions have either sign (semi-non-negative factors). What a concept means is for you to see, in the patches
    that have the most of it; whether the class rests on it, `concept_effects` measures.

    Args:
        model: your own module, or what `vitreous.load` gave; it needs no classifier. It comes back as it was.
        images: as in `explain`: a tensor, taken as the model's normalized input, or pictures; of one class, for its
            concepts.
        count: how many concepts.
        layer: dotted name of any module whose output lies on the picture; by default the last whose patches the class
            scores depend on, as for a CAM.
        batch_size: how many images run at once; bounds memory.
        preprocess: as in `explain`: how pictures become the model's input, where it does not say.
        pixel_window: as in `explain`: of gray pictures of more than 8 bits.
        how: the model is read, as in `similarity`.

    Raises:
        ShapeError: more concepts than patches or channels, or patches do not vary in as many directions.
        ExplainError: as `similarity`.

    Cost: as `similarity`, for every batch; the factors of all patches in float64.

    >>> import torch, vitreous
    >>> found = vitreous.concepts(vitreous.load(), torch.randn(4, 3, 128, 128), 3)
    >>> found.maps.shape, found.directions.shape[0]
    (torch.Size([4, 3, 8, 8]), 3)
    """
    subject = describe(model).read_as(**how)
    inputs, _ = inputs_of(subject, images, preprocess, pixel_window)
    with reading(subject.reading):
        read = read_patches(subject.model, inputs, layer, batch_size)
    return find_concepts(read.maps, read.layer, count)


def read_patches(model: nn.Module, inputs: Images, layer: str, batch_size: int) -> PatchFeatures:
    """The features of all patches of many pictures, in main memory.

    Raises:
        ExplainError: as `patch_features`.
    """
    first, *rest = inputs.split(batch_size)
    read = patch_features(model, first, layer)
    maps = [read.maps, *(patch_features(model, part, read.layer).maps for part in rest)]
    return PatchFeatures(read.layer, torch.cat([each.cpu() for each in maps]))


def find_concepts(features: FeatureMaps, layer: str, count: int) -> Concepts:
    """The concepts of features that were read before.

    Raises:
        ShapeError: as `concepts`.
    """
    rows = features.movedim(1, -1).flatten(0, 2).double()
    mean = rows.mean(0)
    much, directions = factorize(rows - mean, count)
    left = (rows - mean - much @ directions).square().sum()
    explained = 1 - (left / (rows - mean).square().sum()).item()
    return Concepts(_laid(much, features), directions, mean, explained, layer)


def in_patches(features: FeatureMaps, found: Concepts) -> Float[Tensor, "images concepts h w"]:
    """How much of each concept the patches of other pictures have, by features of the same layer."""
    rows = features.movedim(1, -1).flatten(0, 2).double().cpu()
    return _laid(loadings(rows - found.mean, found.directions), features)


def _laid(much: Float[Tensor, "rows concepts"], features: FeatureMaps) -> Float[Tensor, "images concepts h w"]:
    return much.unflatten(0, (len(features), *features.shape[2:])).movedim(-1, 1)
