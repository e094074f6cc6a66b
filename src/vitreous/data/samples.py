"""Pictures with what is known about them: a class, boxes, a mask. Nothing is decoded before it is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitreous.data.depth import Window, through
from vitreous.data.root import Root, Stored
from vitreous.errors import DataError

__all__ = ["Entry", "Sample", "Samples", "as_boxes", "dataset_name", "draw", "join_identity"]

Boxes = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Sample:
    """A picture and what is known about it.

    Attributes:
        id: its name in the data set; no two share one.
        picture: RGB, as it is stored.
        label: the index of its class in the data set's `class_names`, where known.
        boxes: (boxes, 4) left, top, right, bottom in pixels of the picture, right and bottom exclusive, where known.
        mask: (height, width), True on the object, where known.
    """

    id: str
    picture: Image.Image
    label: int | None = None
    boxes: Boxes | None = None
    mask: Mask | None = None


@dataclass(frozen=True)
class Entry:
    """A sample that is not decoded yet."""

    id: str
    picture: Callable[[], Image.Image]
    label: int | None = None
    boxes: Boxes | None = None
    mask: Callable[[], Mask] | None = None

    def open(self) -> Sample:
        """Decode it.

        Raises:
            DataError: the picture or mask cannot be read, or they do not fit each other.
        """
        picture, mask = self.picture(), self.mask() if self.mask else None
        if mask is not None and mask.shape != (picture.height, picture.width):
            raise DataError(
                f"the mask of `{self.id}` has {mask.shape[1]}×{mask.shape[0]} pixels, its picture {picture.width}×"
                f"{picture.height}. Give one mask pixel per picture pixel."
            )
        return Sample(self.id, picture, self.label, self.boxes, mask)


@dataclass(frozen=True)
class Samples:
    """A data set.

    Attributes:
        name: how it is called on the command line.
        class_names: one per class, in the order of the labels; empty where there are no labels.
        entries: what it holds.
        sources: files that hold more than a picture each, such as an archive of arrays, and where they lie.
    """

    name: str
    class_names: tuple[str, ...]
    entries: Sequence[Entry]
    sources: Sequence[tuple[Root, str]] = ()

    def __post_init__(self) -> None:
        if not self.entries:
            raise DataError(f"`{self.name}` holds no picture. Check the folder and the split.")
        seen: set[str] = set()
        for entry in self.entries:
            if entry.id in seen:
                raise DataError(f"`{self.name}` has two pictures named `{entry.id}`. Give each its own name.")
            seen.add(entry.id)
            if entry.label is not None and not 0 <= entry.label < len(self.class_names):
                raise DataError(
                    f"`{entry.id}` in `{self.name}` has label {entry.label}, but there are {len(self.class_names)} "
                    "classes. Count them from 0."
                )

    def __len__(self) -> int:
        """How many there are."""
        return len(self.entries)

    def __getitem__(self, index: int) -> Sample:
        """One of them, decoded."""
        return self.entries[index].open()

    def through(self, window: Window) -> Samples:
        """The same, its gray pictures of more than 8 bits read by this window."""

        def windowed(load: Callable[[], Image.Image]) -> Callable[[], Image.Image]:
            if isinstance(load, Stored):
                return replace(load, decode=partial(_seen_through, window, load.decode))
            return partial(_seen_through, window, load)

        return replace(self, entries=[replace(entry, picture=windowed(entry.picture)) for entry in self.entries])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names, labels and boxes: the same of an archive and of its files; not over pixels."""
        digest = hashlib.sha256()
        for entry in self.entries:
            boxes = None if entry.boxes is None else entry.boxes.tolist()
            digest.update(f"{entry.id} {entry.label} {boxes} {entry.mask is not None}\n".encode())
        return digest.hexdigest()

    def identity(self, *, check: bool = False) -> dict[str, Any]:
        """What tells this data set from another, and from itself with other files under the same names.

        Args:
            check: read all files, for a SHA-256 of their contents.
        """
        about = {"fingerprint": self.fingerprint, "pictures": len(self), "files": self._over(Root.stamp)}
        return about | ({"contents": self._over(Root.digest)} if check else {})

    def _over(self, tell: Callable[[Root, str], str]) -> str:
        digest = hashlib.sha256()
        for root, name in self._files():
            digest.update(f"{name} {tell(root, name)}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def _files(self) -> Iterator[tuple[Root, str]]:
        yield from self.sources
        for entry in self.entries:
            for load in (entry.picture, entry.mask):
                if isinstance(load, Stored):
                    yield load.root, load.name


def _seen_through(window: Window, load: Callable[..., Image.Image], *where: Any) -> Image.Image:
    with through(window):
        return load(*where)


def join_identity(old: Mapping[str, Any], new: Mapping[str, Any], name: str, folder: Path) -> dict[str, Any]:
    """What a folder of results says of its data set, after a run that goes on.

    Args:
        old: what it says.
        new: what the run's data set says.
        name: of the data set, for messages.
        folder: likewise.

    Raises:
        DataError: these are not the same pictures.
    """
    other = f"`{folder}` holds results of other pictures than `{name}`"
    if any(old.get(key) != new[key] for key in ("fingerprint", "pictures")):
        raise DataError(f"{other}: names, labels or boxes differ. Choose another output folder.")
    known = old.get("contents")
    if known and "contents" in new:
        if known != new["contents"]:
            raise DataError(f"{other}: the contents of files differ. Choose another output folder.")
    elif "files" in old and old["files"] != new["files"]:
        told = "give --check, which compares contents" if known else "give --check next time, which keeps contents"
        raise DataError(
            f"{other}: files of the same names have other sizes or were written at another time. Choose another output "
            f"folder; where they were only copied, {told}."
        )
    return {**old, **new}


def dataset_name(spec: str) -> str:
    """What a data set is called, for tables that others read; where it lies stands in the manifest.

    >>> dataset_name("npz:/home/ada/pets.npz:val")
    'npz:pets.npz:val'
    """
    return ":".join(Path(part).name for part in spec.split(":"))


def draw(entries: Sequence[Entry], limit: int, seed: int) -> list[Entry]:
    """So many entries, or all for 0, in random order: the first of them are what a smaller limit draws.

    Raises:
        DataError: `limit` or `seed` is negative.
    """
    if min(limit, seed) < 0:
        raise DataError(f"{limit} pictures cannot be drawn with seed {seed}. Give numbers of at least 0.")
    chosen = np.random.default_rng(seed).permutation(len(entries))[: limit or None]
    return [entries[at] for at in chosen.tolist()]


def as_boxes(rows: Sequence[Sequence[float]], name: str) -> Boxes:
    """Boxes from rows of left, top, right, bottom.

    Raises:
        DataError: one has no width or height, or is not four finite numbers.
    """
    if wrong := [row for row in rows if len(row) != 4]:
        raise DataError(f"`{name}` has a box of {len(wrong[0])} numbers. Give left, top, right, bottom.")
    boxes = np.asarray(rows, np.float64).reshape(-1, 4)
    if not np.isfinite(boxes).all() or (boxes[:, :2] >= boxes[:, 2:]).any():
        raise DataError(f"`{name}` has a box of no width or height: {boxes.tolist()}. Give left, top, right, bottom.")
    return boxes
