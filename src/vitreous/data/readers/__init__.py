"""Data sets by a word: `open_samples("voc:FOLDER")`. `DATASETS` is the whole list of readers that come along."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from vitreous.data.depth import Window
from vitreous.data.readers.coco import read_coco
from vitreous.data.readers.cub import read_cub
from vitreous.data.readers.folder import read_folder
from vitreous.data.readers.ilsvrc import read_ilsvrc
from vitreous.data.readers.imagenet_seg import read_imagenet_seg
from vitreous.data.readers.listed import read_listed
from vitreous.data.readers.npz import read_npz
from vitreous.data.readers.table import read_table
from vitreous.data.readers.voc import read_voc
from vitreous.data.samples import Samples
from vitreous.errors import DataError
from vitreous.settings.named import find, is_own

__all__ = ["DATASETS", "Reader", "open_samples"]

Reader = Callable[[Path, str], Samples]
"""Takes a path and the name of a split, empty for its usual one."""

DATASETS: dict[str, Reader] = {
    "coco": read_coco,
    "cub": read_cub,
    "folder": read_folder,
    "ilsvrc": read_ilsvrc,
    "imagenet_seg": read_imagenet_seg,
    "listed": read_listed,
    "npz": read_npz,
    "table": read_table,
    "voc": read_voc,
}
"""Readers by name."""

_KINDS = {".csv": "table", ".json": "listed", ".npz": "npz", ".mat": "imagenet_seg"}
"""What a file is likely to be, by its suffix."""


def open_samples(spec: str, window: Window = None) -> Samples:
    """A data set by name: "KIND:PATH", or "KIND:PATH:SPLIT".

    Args:
        spec: KIND is one of `DATASETS`, or "package.module:name" of a `Reader` of your own, whose code is run; PATH is
            a folder, a zip archive or a file, as the reader says.
        window: of gray pictures of more than 8 bits, as in `open_picture`.

    Raises:
        UnknownName: there is no such kind or split.
        DataError: nothing is there, its layout is another, or it is not on this machine; or a reader gave something
            else than `Samples`.
    """
    if "://" in spec:
        raise DataError(f"{spec} is an address, and data sets are read from this machine. Copy it, and give KIND:PATH.")
    kind, _, rest = spec.partition(":")
    if kind not in DATASETS and Path(spec).expanduser().exists():
        fits = _KINDS.get(Path(spec).suffix.lower(), "folder")
        raise DataError(
            f"`{spec}` does not say what kind of data set it is. Give {fits}:{spec}, or another of "
            f"{', '.join(DATASETS)} before the colon."
        )
    if is_own(spec):
        name, _, rest = rest.partition(":")
        kind = f"{kind}:{name}"
    reader = find("kind of data set", kind, DATASETS, callable)
    path, _, split = rest.rpartition(":")
    if not path or not split.replace("_", "").replace("-", "").isalnum() or Path(rest).expanduser().exists():
        path, split = rest, ""  # the colon is part of the path
    samples = reader(Path(path).expanduser(), split)
    if not isinstance(samples, Samples):
        raise DataError(f"`{kind}` gave a `{type(samples).__name__}`. Let it return vitreous.data.samples.Samples.")
    return samples if window is None else samples.through(window)
