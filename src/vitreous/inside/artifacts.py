"""Patches that a model has put to another use: `artifacts(model, pictures)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vitreous.data.depth import Window
from vitreous.data.samples import draw
from vitreous.errors import DataError, ShapeError
from vitreous.explaining.explain import Preparation, inputs_of
from vitreous.explaining.opening import read_images
from vitreous.inside.gathered import open_pictures
from vitreous.masking.forward import Progress
from vitreous.models.zoo import LoadedModel, describe
from vitreous.settings.arguments import checked
from vitreous.settings.typed import Count, Seed
from vitreous.shapes import Images
from vitreous.trace.blocks import block_tokens, find_blocks
from vitreous.trace.reading import Said, reading

if TYPE_CHECKING:
    from vitreous.explaining.explain import Picture

__all__ = ["Artifacts", "artifacts", "dataset_artifacts"]


@dataclass(frozen=True, repr=False)
class Artifacts:
    """How long the token of each patch is after every block, and which stand out.

    Attributes:
        norms: L2 norm of each patch's token.
        blocks: dotted names of the blocks, in order.
        times: a patch stands out where its norm is over so many times the median of its picture's patches.
    """

    norms: Float[Tensor, "images blocks h w"]
    blocks: tuple[str, ...]
    times: float

    @property
    def medians(self) -> Float[Tensor, "images blocks"]:
        """Of each picture's patches; the lower of the two in the middle."""
        return self.norms.flatten(2).median(2).values

    @property
    def outliers(self) -> Bool[Tensor, "images blocks h w"]:
        """Which patches stand out."""
        return self.norms > self.times * self.medians[..., None, None]

    @property
    def share(self) -> Float[Tensor, " blocks"]:
        """Of the patches of all pictures, how many stand out after each block."""
        return self.outliers.double().mean((0, 2, 3))

    @property
    def score(self) -> float:
        """Of the patches of all pictures, how many stand out after the last block: 0 for a model without artifacts."""
        return self.share[-1].item()


@checked("model", "images", "preprocess")
def artifacts(
    model: nn.Module | LoadedModel,
    images: Tensor | Picture | Sequence[Picture],
    *,
    times: float = 3.0,
    batch_size: Count = 8,
    preprocess: Preparation | None = None,
    pixel_window: Window = None,
    **how: Unpack[Said],
) -> Artifacts:
    """Find the patches whose tokens are far longer than the others: what they hold is not what lies there.

    After "Vision Transformers Need Registers" (Darcet et al., arXiv 2309.16588), which takes one norm for a model and
    chooses it by eye; that a patch stands out where ‖t‖ > times · median ‖t‖ of its own picture is our own rule.

    Args:
        model: your own module, or what `vitreous.load` gave; it needs no classifier. It comes back as it was.
        images: as in `explain`: a tensor, taken as the model's normalized input, or pictures.
        times: how many times the median a norm must be.
        batch_size: how many images run at once; bounds memory.
        preprocess: as in `explain`: how pictures become the model's input, where it does not say.
        pixel_window: as in `explain`: of gray pictures of more than 8 bits.
        how: the model is read, as in `similarity`.

    Raises:
        ShapeError: `times` is not above 1.
        NotFinite: a token is NaN or infinite.
        ExplainError: an input, or a model without blocks that attend between all patches; the message says what to do.

    Cost: one forward pass of each image, and of every batch what it takes to measure how the tokens lie.

    >>> import torch, vitreous
    >>> vitreous.artifacts(vitreous.load(), torch.randn(2, 3, 128, 128)).norms.shape[2:]
    torch.Size([8, 8])
    """
    subject = describe(model).read_as(**how)
    inputs, _ = inputs_of(subject, images, preprocess, pixel_window)
    if not times > 1:
        raise ShapeError(f"`times` is {times}. Give a number above 1: times the median norm.")
    with reading(subject.reading):
        blocks = find_blocks(subject.model, inputs)
        norms = [_norms(subject.model, part, blocks) for part in inputs.split(batch_size)]
    return Artifacts(torch.cat(norms), blocks, times)


@checked("model")
def dataset_artifacts(
    model: nn.Module | LoadedModel,
    pictures: str | Path,
    *,
    times: float = 3.0,
    limit: int = 100,
    seed: Seed = 0,
    batch_size: Count = 8,
    progress: Progress | None = None,
    pixel_window: Window = None,
    **how: Unpack[Said],
) -> Artifacts:
    """A model's artifacts over a data set, whose `score` is one number for the model; a batch of pictures is in memory.

    Args:
        model: from `vitreous.load`, or a module that says how its pictures are prepared.
        pictures: a folder or zip archive, or "KIND:PATH" or "KIND:PATH:SPLIT", a data set as of `vitreous benchmark`.
        times: as in `artifacts`.
        limit: pictures drawn at random; 0 takes all. Those that cannot be read are left out.
        seed: of the draw.
        batch_size: how many run at once.
        progress: told how many pictures are done, of how many.
        pixel_window: as in `explain`.
        how: the model is read, as in `similarity`.

    Raises:
        DataError: no picture can be read.
        ExplainError: as `artifacts`.
    """
    subject, samples = describe(model).read_as(**how), open_pictures(str(pictures), pixel_window)
    entries, found, unread = draw(samples.entries, limit, seed), list[Artifacts](), dict[str, str]()
    for start in range(0, len(entries), batch_size):
        images = read_images(subject, entries[start : start + batch_size], unread)
        if images:
            found.append(artifacts(subject, torch.stack([*images.values()]), times=times, batch_size=batch_size))
        if progress:
            progress(min(start + batch_size, len(entries)), len(entries))
    if not found:
        raise DataError(f"none of {len(entries)} pictures of `{samples.name}` can be read: {min(unread.values())}")
    return replace(found[0], norms=torch.cat([each.norms for each in found]))


def _norms(model: nn.Module, images: Images, blocks: Sequence[str]) -> Float[Tensor, "images blocks h w"]:
    tokens, grid = block_tokens(model, images, blocks)
    lengths = torch.stack([each.float().norm(dim=2) for each in tokens], 1)  # squares of half precision overflow
    return grid.of_patches(lengths).unflatten(2, (grid.height, grid.width))
