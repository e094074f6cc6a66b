"""Which patches a model takes for alike: `similarity(model, picture)`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Unpack

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.data.depth import Window
from vitreous.errors import ShapeError, UnknownName
from vitreous.explaining.explain import Preparation, inputs_of
from vitreous.interact.alike import cosine
from vitreous.models.zoo import LoadedModel, describe
from vitreous.settings.arguments import checked
from vitreous.trace.features import Features, PatchFeatures, patch_features
from vitreous.trace.reading import Said, reading

if TYPE_CHECKING:
    from vitreous.explaining.explain import Picture

__all__ = ["Match", "Similarity", "best_matches", "compare", "similarity"]


@dataclass(frozen=True)
class Match:
    """Two patches that are each other's most alike.

    Attributes:
        here: (row, column) in the picture.
        there: in the other, or in the same.
        cosine: of their features.
    """

    here: tuple[int, int]
    there: tuple[int, int]
    cosine: float


@dataclass(frozen=True, repr=False)
class Similarity:
    """How alike patches are.

    Attributes:
        values: cosine of the features of each patch of the picture (first) and each of the other, row by row.
        grid: (height, width) of the picture in patches.
        other: likewise of the other picture.
        layer: dotted name of the module that was read.
        of: which features.
        same: the two are one picture.
    """

    values: Float[Tensor, "patches others"]
    grid: tuple[int, int]
    other: tuple[int, int]
    layer: str
    of: Features
    same: bool

    @checked("self")
    def to(self, row: int, column: int) -> Float[Tensor, "h w"]:
        """How alike each patch of the other picture is to the one there, rows and columns from 0.

        Raises:
            UnknownName: there is no such patch.
        """
        height, width = self.grid
        if not (0 <= row < height and 0 <= column < width):
            raise UnknownName("patch", f"{row},{column}", [f"0,0 … {height - 1},{width - 1}"])
        return self.values[row * width + column].unflatten(0, self.other)

    @property
    def matches(self) -> tuple[Match, ...]:
        """The patches that are each other's most alike, the most alike first; each pair once."""
        return tuple(
            Match(divmod(here, self.grid[1]), divmod(there, self.other[1]), self.values[here, there].item())
            for here, there in best_matches(self.values, same=self.same)
        )


def best_matches(values: Float[Tensor, "patches others"], *, same: bool = False) -> list[tuple[int, int]]:
    """Mutual nearest neighbours: pairs of which each is the other's most alike, the most alike first.

    Args:
        values: how alike each is to each other.
        same: rows and columns are the same patches: none is its own match, and each pair counts once.
    """
    free = values.masked_fill(torch.eye(*values.shape, dtype=torch.bool, device=values.device), -torch.inf)
    alike = free if same else values
    there, back = alike.argmax(1).tolist(), alike.argmax(0).tolist()
    pairs = [(at, to) for at, to in enumerate(there) if back[to] == at and (at < to or not same)]
    return sorted(pairs, key=lambda pair: -alike[pair].item())


def compare(here: PatchFeatures, there: PatchFeatures, of: Features) -> Similarity:
    """How alike the patches of two pictures are by their features; the same features are of one picture."""
    values = cosine(here.maps[0], there.maps[0])
    height, width = here.maps.shape[2:]
    rows, columns = there.maps.shape[2:]
    return Similarity(values, (height, width), (rows, columns), here.layer, of, here is there)


@checked("model", "picture", "other", "preprocess")
def similarity(
    model: nn.Module | LoadedModel,
    picture: Tensor | Picture,
    other: Tensor | Picture | None = None,
    *,
    layer: str = "",
    of: Features = "tokens",
    preprocess: Preparation | None = None,
    pixel_window: Window = None,
    **how: Unpack[Said],
) -> Similarity:
    """Measure how alike a model finds the patches of a picture, or those of two.

    cos(i, j) = fᵢ · fⱼ / (‖fᵢ‖ ‖fⱼ‖), where f are a layer's tokens or what an attention takes, its heads side by side.

    Args:
        model: your own module, or what `vitreous.load` gave; it needs no classifier. It comes back as it was.
        picture: one: a path, PIL or uint8 array, which goes through the model's preprocessing; or a tensor
            (channels, height, width), taken as its normalized input.
        other: another one, likewise; None compares the patches of the picture with each other.
        layer: dotted name: of tokens, any module whose output lies on the picture, by default the one a CAM would read;
            of keys, queries and values, a module that runs attention, by default the last.
        of: "tokens", "keys", "queries" or "values".
        preprocess: as in `explain`: how pictures become the model's input, where it does not say.
        pixel_window: as in `explain`: of gray pictures of more than 8 bits.
        how: the model is read, where it cannot be told: `part`, `call`, `grid`, `patches`, `output`, `link`.

    Raises:
        ExplainError: an input, a layer or a model without features of patches; the message says what to do.

    Cost: two forward passes and a backward one of each picture; of keys, queries and values one forward pass; and what
        it takes to measure how the tokens lie.

    >>> import torch, vitreous
    >>> vitreous.similarity(vitreous.load(), torch.randn(3, 128, 128)).values.shape
    torch.Size([64, 64])
    """
    subject = describe(model).read_as(**how)

    def read(given: Tensor | Picture, name: str, layer: str) -> PatchFeatures:
        images, _ = inputs_of(subject, given, preprocess, pixel_window)
        if len(images) != 1:
            raise ShapeError(f"`{name}` holds {len(images)} pictures. Give one; two are compared as picture and other.")
        with reading(subject.reading):
            return patch_features(subject.model, images, layer, of)

    here = read(picture, "picture", layer)
    there = here if other is None else read(other, "other", here.layer)
    return compare(here, there, of)
