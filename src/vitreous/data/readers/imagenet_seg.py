"""ImageNet-Segmentation (Guillaumin et al., 2014), the file gtsegs_ijcv.mat."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitreous.data.root import Root
from vitreous.data.samples import Entry, Mask, Samples
from vitreous.errors import DataError, ExplainError, MissingExtra, UnknownName
from vitreous.files.reading import check_file, check_growth

__all__ = ["read_imagenet_seg"]


def read_imagenet_seg(path: Path, split: str) -> Samples:
    """The file gtsegs_ijcv.mat: pictures with a mask each, the first of its annotations. There are no labels or splits.

    Raises:
        MissingExtra: h5py is not installed.
        UnknownName: a split is asked for.
        DataError: nothing is there, or it is another file.
    """
    if split:
        raise UnknownName("split", split, ["(it has none)"])
    with _open(path) as file:
        count = len(file["value/img"])
        if len(file["value/gt"]) != count:
            raise DataError(f"`{path}` has {count} pictures and {len(file['value/gt'])} masks. Download it again.")
    entries = [Entry(f"{at:04}", partial(_picture, path, at), mask=partial(_mask, path, at)) for at in range(count)]
    return Samples(f"imagenet_seg:{path}", (), entries, ((Root(path.parent), path.name),))


def _picture(path: Path, at: int) -> Image.Image:
    with _open(path) as file:
        pixels = _read(file[file["value/img"][at, 0]], path)
    if pixels.ndim != 3 or pixels.shape[0] != 3 or pixels.dtype != np.uint8:
        raise DataError(f"picture {at} of `{path}` is {pixels.dtype} {pixels.shape}, not RGB. Download the file again.")
    return Image.fromarray(np.ascontiguousarray(pixels.transpose(2, 1, 0)))  # MATLAB counts columns first


def _mask(path: Path, at: int) -> Mask:
    with _open(path) as file:
        return _read(file[file[file["value/gt"][at, 0]][0, 0]], path).T != 0


@contextmanager
def _open(path: Path) -> Generator[Any]:
    try:
        import h5py
    except ImportError:
        raise MissingExtra("h5py", "benchmark") from None
    check_file(path, "Give gtsegs_ijcv.mat.")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except ExplainError:
        raise
    except Exception as error:  # a file of another layout raises anything
        raise DataError(f"`{path}` is not gtsegs_ijcv.mat: {error}. Download it again.") from None


def _read(values: Any, path: Path) -> NDArray[Any]:
    """What the file stores, not what it could point to or grow to."""
    if values.external or values.is_virtual:
        raise DataError(f"`{path}` points to other files. Download it again.")
    check_growth(f"`{values.name}` in `{path}`", values.id.get_storage_size(), values.nbytes, "Download it again.")
    return np.asarray(values)
