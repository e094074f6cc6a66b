"""Pictures like this one: `find_cases(model, picture, path)`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from vitreous.data.depth import Window
from vitreous.errors import DataError, ShapeError, UnknownName
from vitreous.explaining.explain import Preparation, inputs_of
from vitreous.inside.case_building import grid_of, unit_patches, unit_whole
from vitreous.inside.case_index import Index, open_index
from vitreous.models.loaded import LoadedModel
from vitreous.models.zoo import describe
from vitreous.settings.arguments import checked
from vitreous.settings.typed import Count
from vitreous.trace.features import PatchFeatures, patch_features
from vitreous.trace.reading import Said, reading

if TYPE_CHECKING:
    from PIL.Image import Image

    from vitreous.explaining.explain import Picture

__all__ = ["Case", "Cases", "find_cases", "index_for"]


@dataclass(frozen=True)
class Case:
    """A picture of an index, or a patch of one.

    Attributes:
        row: its place in the index.
        name: of the picture.
        label: of its class, where known.
        cosine: how alike it is.
        patch: (row, column), of a patch; None of the whole picture.
    """

    row: int
    name: str
    label: str | None
    cosine: float
    patch: tuple[int, int] | None = None


@dataclass(frozen=True, repr=False)
class Cases:
    """What is most alike to a picture in an index.

    Attributes:
        whole: the most alike pictures, the most alike first.
        cosines: of each patch of the picture with the most alike ones, of every picture of the index one.
        rows: the places in the index of the pictures that these lie in.
        places: of these in their pictures, counted row by row.
        index: that was searched.
    """

    whole: tuple[Case, ...]
    cosines: Float[Tensor, "h w count"]
    rows: Int[Tensor, "h w count"]
    places: Int[Tensor, "h w count"]
    index: Index

    @checked("self")
    def to(self, row: int, column: int) -> tuple[Case, ...]:
        """The most alike patches to the one there, rows and columns from 0, the most alike first.

        Raises:
            UnknownName: there is no such patch.
        """
        height, width, _ = self.cosines.shape
        if not (0 <= row < height and 0 <= column < width):
            raise UnknownName("patch", f"{row},{column}", [f"0,0 … {height - 1},{width - 1}"])
        rows, cosines, places = (each[row, column].tolist() for each in (self.rows, self.cosines, self.places))
        patches = [divmod(place, self.index.about.grid[1]) for place in places]
        return tuple(_case(self.index, *each) for each in zip(rows, cosines, patches, strict=True))

    def picture(self, case: Case) -> Image:
        """What the model saw of a case's picture, small.

        Raises:
            DataError: it cannot be read.
        """
        return self.index.picture(case.row)


@checked("model", "picture", "preprocess")
def find_cases(
    model: nn.Module | LoadedModel,
    picture: Tensor | Picture,
    path: str | Path,
    count: Count = 5,
    *,
    preprocess: Preparation | None = None,
    pixel_window: Window = None,
    **how: Unpack[Said],
) -> Cases:
    """Find the pictures of an index that are most alike to this one, and for each of its patches the most alike ones.

    Every picture and patch of the index is compared, by the cosine of its features; of each picture one patch counts.
    That a model takes two pictures for alike says nothing of why it decides as it does.

    Args:
        model: the one that the index was built with. It comes back as it was.
        picture: one: a path, PIL or uint8 array, or a tensor, as in `similarity`.
        path: of the index. What is in the file is data: its layout and sizes are checked.
        count: how many, at most.
        preprocess: as in `explain`.
        pixel_window: as in `explain`.
        how: the model is read, as in `similarity`.

    Raises:
        DataError: the file cannot be read, is no index, or one of another model.
        ShapeError: more than one picture.
        ExplainError: as `similarity`.
        MissingExtra: pyarrow is not installed.

    Cost: as `similarity`, and one pass over the file; memory does not grow with it.
    """
    subject = describe(model).read_as(**how)
    index = index_for(subject, path)
    images, _ = inputs_of(subject, picture, preprocess, pixel_window)
    if len(images) != 1:
        raise ShapeError(f"`picture` holds {len(images)} pictures. Give one.")
    with reading(subject.reading):
        read = patch_features(subject.model, images, index.about.layer)
    return _searched(read, index, count)


def index_for(model: LoadedModel, path: str | Path) -> Index:
    """The index in a file, if it was built with the weights of this model.

    Raises:
        DataError, MissingExtra: as `find_cases`.
    """
    index = open_index(path)
    if model.weights_sha256 != index.about.weights_sha256:
        raise DataError(
            f"`{path}` was built with `{index.about.model}`, and `{model.name}` has other weights. Give that model, "
            "or build an index with this one."
        )
    return index


def _searched(read: PatchFeatures, index: Index, count: int) -> Cases:
    own, patches = unit_whole(read, index.about.whole).cpu(), unit_patches(read)[0].cpu()
    if own.shape[1] != index.about.channels:
        raise DataError(
            f"`{index.path}` has features of {index.about.channels} channels, and `{read.layer}` gives "
            f"{own.shape[1]}. Build an index with this model."
        )
    alike: list[Tensor] = []
    cosines, rows = torch.empty(len(patches), 0), torch.empty(len(patches), 0, dtype=torch.long)
    places = rows
    for chunk in index.chunks():
        alike.append(chunk.whole @ own[0])
        near, where = (patches @ chunk.patches.flatten(0, 1).mT).unflatten(1, chunk.patches.shape[:2]).max(2)
        those = torch.arange(chunk.first, chunk.first + len(chunk.whole)).expand_as(where)
        cosines, kept = torch.cat([cosines, near], 1).sort(dim=1, descending=True, stable=True)
        cosines, kept = cosines[:, :count], kept[:, :count]
        rows, places = torch.cat([rows, those], 1).gather(1, kept), torch.cat([places, where], 1).gather(1, kept)
    whole, grid = torch.cat(alike), grid_of(read.maps)
    first = whole.argsort(descending=True, stable=True)[:count].tolist()
    return Cases(
        tuple(_case(index, row, whole[row].item()) for row in first),
        cosines.unflatten(0, grid),
        rows.unflatten(0, grid),
        places.unflatten(0, grid),
        index,
    )


def _case(index: Index, row: int, cosine: float, patch: tuple[int, int] | None = None) -> Case:
    return Case(row, index.names[row], index.labels[row], cosine, patch)
