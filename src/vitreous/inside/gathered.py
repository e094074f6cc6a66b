"""Many pictures for one question: of a data set or a folder, all of them or those of a class, drawn and prepared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from vitreous.data.depth import Window
from vitreous.data.readers import DATASETS, open_samples
from vitreous.data.readers.folder import load_picture
from vitreous.data.root import Root, Stored
from vitreous.data.samples import Entry, Samples, draw
from vitreous.errors import DataError
from vitreous.explaining.labels import match_labels
from vitreous.explaining.opening import read_images
from vitreous.explaining.targets import class_index
from vitreous.models.loaded import LoadedModel
from vitreous.render.sheet import fit
from vitreous.render.view import View
from vitreous.settings.named import is_own
from vitreous.shapes import Images

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Gathered", "gather", "of_class", "open_pictures", "view_of"]


_SIDE = 240
"""Of a picture that is shown beside others, in pixels."""


@dataclass(frozen=True)
class Gathered:
    """Pictures that could be read, and why the others could not.

    Attributes:
        entries: in the order of `images`.
        images: the model's input.
        unread: by name.
    """

    entries: Sequence[Entry]
    images: Images
    unread: dict[str, str] = field(default_factory=dict[str, str])


def open_pictures(place: str, window: Window = None) -> Samples:
    """A data set, "KIND:PATH" or "KIND:PATH:SPLIT" as `open_samples` takes it, or else the pictures in a folder.

    Args:
        place: a folder is searched to the bottom, a zip archive read in place; its pictures have no class.
        window: of gray pictures of more than 8 bits, as in `open_picture`.

    Raises:
        DataError, UnknownName: as `open_samples`.
    """
    if place.partition(":")[0] in DATASETS or is_own(place):
        return open_samples(place, window)
    root = Root(Path(place).expanduser())
    found = Samples(place, (), [Entry(name, Stored(load_picture, root, name)) for name in root.pictures()])
    return found if window is None else found.through(window)


def of_class(samples: Samples, name: str, model: LoadedModel) -> tuple[Samples, int | None]:
    """The pictures of a class, and its index in the model; of no name all of them, and None.

    Pictures without classes count as of the class that is named.

    Raises:
        UnknownName: the model has no such class.
        DataError: the data's classes are not the model's, or it has no picture of that one.
    """
    if not name:
        return samples, None
    target = class_index(name, model.class_names)
    used = {entry.label for entry in samples.entries if entry.label is not None}
    if not used:
        return samples, target
    matched, how = match_labels(samples.class_names, used, model.class_names, "auto")
    if how == "unknown":
        raise DataError(
            f"the classes of `{samples.name}` are not those of `{model.name}`, so it cannot be told which pictures "
            f"show `{name}`. Give a folder that holds these alone."
        )
    kept = [entry for entry in samples.entries if entry.label is not None and matched[entry.label] == target]
    if not kept:
        raise DataError(f"`{samples.name}` has no picture of `{name}`. Choose another class, or a folder of pictures.")
    return Samples(samples.name, samples.class_names, kept, samples.sources), target


def gather(model: LoadedModel, samples: Samples, limit: int = 0, seed: int = 0) -> Gathered:
    """Draw pictures at random, or take all for 0, and prepare them for the model.

    Raises:
        DataError: none of them can be read, or `limit` or `seed` is negative.
        ModelError: the model does not say how its pictures are prepared.
    """
    entries, unread = draw(samples.entries, limit, seed), dict[str, str]()
    images = read_images(model, entries, unread)
    if not images:
        raise DataError(
            f"none of {len(entries)} pictures of `{samples.name}` can be read: {next(iter(unread.values()))}"
        )
    return Gathered([each for each in entries if each.id in images], torch.stack([*images.values()]), unread)


def view_of(model: LoadedModel, entry: Entry) -> Image:
    """The part of a picture that the model sees, at the size of a small panel."""
    picture = entry.open().picture
    return fit(View(picture, model.prepared().box(picture)).part, _SIDE)
