"""What lies inside a model, of one picture, in plain values: what a page shows on tabs of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image

if TYPE_CHECKING:
    from vitreous.render.case import ToldClass

__all__ = ["AlikeCase", "AlikeCases", "Colors", "ConceptMap", "Concepts", "Heads", "Inside", "Norms", "PatchesAlike"]


@dataclass(frozen=True)
class PatchesAlike:
    """How alike the patches of a picture are, by one kind of features.

    Attributes:
        kind: "tokens" after the block, or the "keys", "queries" or "values" of its attention.
        block: from 0.
        values: the cosine of each patch's features and each other's, row by row.
    """

    kind: str
    block: int
    values: Float[np.ndarray, "patches patches"]


@dataclass(frozen=True)
class Colors:
    """The principal components of the tokens after one block.

    Attributes:
        values: red, green and blue, from 0 to 1.
        share: of the variance that each of the three holds.
    """

    values: Float[np.ndarray, "h w 3"]
    share: Sequence[float]


@dataclass(frozen=True)
class Norms:
    """How long the tokens are after every block, and which patches stand out.

    Attributes:
        values: L2 norms.
        outliers: over so many times the median of the picture's patches.
        times: how many.
        met: stand out after the last block but one, or after one before it, as the last attention meets them.
    """

    values: Float[np.ndarray, "blocks h w"]
    outliers: Bool[np.ndarray, "blocks h w"]
    times: float
    met: Bool[np.ndarray, "h w"]

    @property
    def score(self) -> float:
        """Of all patches, how many stand out after the last block."""
        return float(self.outliers[-1].mean())


@dataclass(frozen=True)
class Heads:
    """How far and how evenly the heads of every block attend.

    Attributes:
        distance: mean over patches, in patches.
        entropy: likewise, in nats.
        to_extra: how much goes to tokens that are no patches.
    """

    distance: Sequence[Sequence[float]]
    entropy: Sequence[Sequence[float]]
    to_extra: Sequence[Sequence[float]]


@dataclass(frozen=True)
class ConceptMap:
    """How much of a concept each patch has.

    Attributes:
        number: of the concept, from 0.
        values: at least 0.
        verdict: whether the class rests on it, in a sentence.
        most: that a patch of the pictures has in which it was found.
    """

    number: int
    values: Float[np.ndarray, "h w"]
    verdict: str
    most: float


@dataclass(frozen=True)
class Concepts:
    """The concepts of a folder, on a picture.

    Attributes:
        of: whose they are: a class, or the pictures that they were found in.
        layer: dotted name of the module that was read.
        maps: one for each.
    """

    of: str
    layer: str
    maps: Sequence[ConceptMap]


@dataclass(frozen=True)
class AlikeCase:
    """A picture of an index that is alike.

    Attributes:
        name: of the picture.
        label: of its class; empty where that is not known.
        cosine: how alike it is.
        picture: what the model saw of it, small.
    """

    name: str
    label: str
    cosine: float
    picture: Image.Image


@dataclass(frozen=True)
class AlikeCases:
    """The most alike pictures of an index.

    Attributes:
        index: name of its file.
        pictures: how many it has.
        found: the most alike first.
    """

    index: str
    pictures: int
    found: Sequence[AlikeCase]


@dataclass(frozen=True)
class Inside:
    """What a model makes of one picture, block by block; a sentence stands for what it has not.

    Attributes:
        grid: (height, width) of its patches; (0, 0) where no patches are seen.
        blocks: dotted names, in order.
        alike: how alike the patches are, by several kinds of features.
        colors: for each block.
        norms: for each block.
        said: after each block, the most probable classes.
        heads: of each block.
        concepts: None where none were asked for.
        cases: likewise.
    """

    grid: tuple[int, int]
    blocks: Sequence[str]
    alike: Sequence[PatchesAlike] | str
    colors: Sequence[Colors | str] | str
    norms: Norms | str
    said: Sequence[Sequence[ToldClass]] | str
    heads: Heads | str
    concepts: Concepts | str | None = None
    cases: AlikeCases | str | None = None

    @classmethod
    def unseen(cls, reason: str) -> Inside:
        """Of a model whose blocks cannot be seen."""
        return cls((0, 0), (), reason, reason, reason, reason, reason)
