"""Data sets by a word: `open_samples("voc:FOLDER")`. `DATASETS` is the whole list."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
from vitreous.errors import UnknownName

__all__ = ["DATASETS", "open_samples"]

DATASETS: dict[str, Callable[[Path, str], Samples]] = {
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
"""Readers by name; each takes a path and the name of a split, empty for its usual one."""


def open_samples(spec: str) -> Samples:
    """A data set by name: "KIND:PATH", or "KIND:PATH:SPLIT".

    Args:
        spec: KIND is one of `DATASETS`; PATH is a folder, a zip archive or a file, as the reader says.

    Raises:
        UnknownName: there is no such kind or split.
        DataError: nothing is there, or its layout is another.
    """
    kind, _, rest = spec.partition(":")
    if kind not in DATASETS:
        raise UnknownName("kind of data set", kind, DATASETS)
    path, _, split = rest.rpartition(":")
    if not path or not split.replace("_", "").replace("-", "").isalnum() or Path(rest).expanduser().exists():
        path, split = rest, ""  # the colon is part of the path
    return DATASETS[kind](Path(path).expanduser(), split)
