"""An index of what a model makes of many pictures: `build_cases(model, pictures, path)`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vitreous.data.depth import Window
from vitreous.data.samples import Entry, draw
from vitreous.errors import DataError, ObservationError
from vitreous.explaining.opening import prepare
from vitreous.explaining.picture_job import describe_model
from vitreous.files.writing import check_writable
from vitreous.inside.case_index import About, Whole, open_index, writing
from vitreous.inside.gathered import open_pictures
from vitreous.masking.forward import Progress
from vitreous.models.loaded import LoadedModel
from vitreous.models.zoo import describe
from vitreous.render.sheet import fit
from vitreous.render.view import View
from vitreous.settings.arguments import checked
from vitreous.settings.typed import Count
from vitreous.shapes import FeatureMaps
from vitreous.trace.features import PatchFeatures, patch_features
from vitreous.trace.reading import Said, reading

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["JOB", "Built", "build_cases", "grid_of", "unit_patches", "unit_whole"]

JOB = "cases"
"""What made the file."""
_SIDE = 160
"""Of a picture that is kept to be shown, in pixels."""


@dataclass(frozen=True)
class Built:
    """What is in an index.

    Attributes:
        pictures: how many.
        layer: dotted name of the module that was read.
        unread: names of pictures that could not be read, and why.
    """

    pictures: int
    layer: str
    unread: dict[str, str] = field(default_factory=dict[str, str])


@checked("model")
def build_cases(
    model: nn.Module | LoadedModel,
    pictures: str | Path,
    path: str | Path,
    *,
    layer: str = "",
    whole: Whole = "mean",
    limit: int = 0,
    seed: int = 0,
    batch_size: Count = 8,
    progress: Progress | None = None,
    pixel_window: Window = None,
    **how: Unpack[Said],
) -> Built:
    """Write an index of what a model makes of pictures and of each of their patches, for `find_cases`.

    Features are kept at length 1 in float16, and with them a small copy of what the model saw, so that the index needs
    nothing else, and may be given only to whom the pictures may.

    Args:
        model: from `vitreous.load`, or a module that says how its pictures are prepared; it needs no classifier.
        pictures: a folder or zip archive, or "KIND:PATH" or "KIND:PATH:SPLIT", a data set as of `vitreous benchmark`.
        path: of the index, a Parquet file.
        layer: as in `similarity`, of tokens.
        whole: what stands for a whole picture: the "mean" of its patches, or the "class" token: the first extra one.
        limit: pictures drawn at random; 0 takes all.
        seed: of the draw.
        batch_size: how many pictures run at once; bounds memory.
        progress: told how many pictures are done, of how many.
        pixel_window: as in `explain`.
        how: the model is read, as in `similarity`.

    Raises:
        DataError: the pictures cannot be read, or the file cannot be written, or is there and no index.
        ObservationError: a class token is asked for, and the layer has no extra token.
        ExplainError: as `similarity`.
        MissingExtra: pyarrow is not installed.
    """
    subject, path = describe(model).read_as(**how), Path(path)
    check_writable(path.parent)
    if path.exists():
        open_index(path)  # somebody's own file is not written over
    samples = open_pictures(str(pictures), pixel_window)
    entries, unread, done = draw(samples.entries, limit, seed), dict[str, str](), 0
    looked = _looked(subject, entries, layer, batch_size, unread)
    first = next(looked, None)
    if first is None:
        raise DataError(f"none of {len(entries)} pictures of `{samples.name}` can be read: {min(unread.values())}")
    maps = first.read.maps
    about = About(1, subject.name, subject.weights_sha256, first.read.layer, whole, grid_of(maps), maps.shape[1])
    asked = {"layer": layer, "whole": whole, "limit": limit, "seed": seed, "batch_size": batch_size}
    run = {
        "job": JOB,
        **describe_model(subject),
        **asked,
        "place": str(pictures),
        "window": pixel_window,
        "fingerprint": samples.fingerprint,
    }
    with writing(path, about, run) as write:
        for some in chain([first], looked):
            write(
                {
                    "picture": [entry.id for entry in some.entries],
                    "label": [None if each.label is None else samples.class_names[each.label] for each in some.entries],
                    "whole": unit_whole(some.read, whole).half().cpu().numpy(),
                    "patches": unit_patches(some.read).half().cpu().numpy(),
                    "shown": some.shown,
                }
            )
            done += len(some.entries)
            if progress:
                progress(done + len(unread), len(entries))
    return Built(done, about.layer, unread)


@dataclass(frozen=True)
class _Some:
    """Pictures, what the model makes of them, and the bytes of what is shown of them."""

    entries: Sequence[Entry]
    read: PatchFeatures
    shown: Sequence[bytes]


def _looked(
    model: LoadedModel, entries: Sequence[Entry], layer: str, batch_size: int, unread: dict[str, str]
) -> Iterator[_Some]:
    """Batches of the pictures that can be read; `unread` receives why the others cannot."""
    box = model.prepared().box
    for start in range(0, len(entries), batch_size):
        some: list[tuple[Entry, Tensor, bytes]] = []
        for entry in entries[start : start + batch_size]:
            made = prepare(model, lambda entry=entry: entry.open().picture, entry.id)
            if isinstance(made, DataError):
                unread[entry.id] = str(made)
            else:
                some.append((entry, made[1], _encoded(View(made[0], box(made[0])).part)))
        if some:
            opened, images, shown = zip(*some, strict=True)
            batch = torch.stack(images).to(next(model.model.parameters()))
            with reading(model.reading):
                read = patch_features(model.model, batch, layer)
            layer = read.layer
            yield _Some(opened, read, shown)


def _encoded(picture: Image) -> bytes:
    data = BytesIO()
    fit(picture.convert("RGB"), _SIDE).save(data, "JPEG", quality=88)
    return data.getvalue()


def grid_of(maps: FeatureMaps) -> tuple[int, int]:
    """(height, width) in patches."""
    return maps.shape[2], maps.shape[3]


def unit_patches(read: PatchFeatures) -> Float[Tensor, "batch patches channels"]:
    """Features of length 1, so that half of a float's bits are enough however long tokens are."""
    return F.normalize(read.maps.float().flatten(2).mT, dim=2)


def unit_whole(read: PatchFeatures, whole: Whole) -> Float[Tensor, "batch channels"]:
    """Likewise of pictures as wholes.

    Raises:
        ObservationError: the layer has no class token.
    """
    if whole == "mean":
        return F.normalize(read.maps.float().mean((2, 3)), dim=1)
    if read.extra is None or not read.extra.shape[1]:
        raise ObservationError(f'`{read.layer}` has no token beside its patches. Take their mean, whole="mean".')
    return F.normalize(read.extra[:, 0].float(), dim=1)
