"""A teacher's answers about fixed views, in a file beside the run, so that each view is shown to it once."""

from __future__ import annotations

import math
from functools import cached_property
from pathlib import Path
from shutil import disk_usage

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vitreous.errors import DataError
from vitreous.files.arrays import open_arrays
from vitreous.files.writing import check_writable, whole_file

__all__ = ["KeptAnswers", "places"]

_REMEDY = "Remove both; the teacher is asked again."


def places(folder: Path, rank: int) -> tuple[Path, Path]:
    """Where a process of a training keeps what it was told, and what says what that is."""
    return folder / f"teacher{rank}.bin", folder / f"teacher{rank}.npz"


class KeptAnswers:
    """Rows of half-precision numbers, one per view and picture.

    Args:
        path: the file, as large as all rows together; a second one beside it says what is in it.
        shape: views, pictures, numbers of a row.
        about: everything that a row depends on. What an earlier process saved about the same is taken up; what it
            saved about anything else is overwritten.

    Raises:
        DataError: it cannot be written there, the disk has no room for it, or what is there is damaged.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int], about: str) -> None:
        check_writable(path.parent)
        self._path, self._index, self._shape = path, path.with_suffix(".npz"), shape
        self._about = f"{shape} {about}"
        saved = self._saved()
        self._known: np.ndarray = np.zeros(shape[:2], bool) if saved is None else saved
        if saved is None:
            self._make_room()

    def known(self, view: int, index: Int[Tensor, " batch"]) -> Bool[Tensor, " batch"]:
        """Which of the pictures have a row for that view."""
        return torch.from_numpy(self._known[view, index.numpy()])

    def put(self, view: int, index: Int[Tensor, " new"], rows: Float[Tensor, "new numbers"]) -> None:
        """Keep their rows."""
        self._rows[view, index.numpy()] = rows.half().cpu().numpy()
        self._known[view, index.numpy()] = True

    def get(self, view: int, index: Int[Tensor, " batch"]) -> Float[Tensor, "batch numbers"]:
        """Their rows, in single precision."""
        return torch.from_numpy(self._rows[view, index.numpy()].astype(np.float32))

    def save(self) -> None:
        """Make sure that another process finds what is kept."""
        self._rows.flush()
        with whole_file(self._index) as part, part.open("wb") as file:
            np.savez(file, known=self._known, about=np.array(self._about))

    def remove(self) -> None:
        """Take the files off the disk."""
        self._index.unlink(missing_ok=True)
        self._path.unlink(missing_ok=True)

    @cached_property
    def _rows(self) -> np.memmap:
        """The file, made when the first row is kept."""
        return np.memmap(self._path, np.float16, "r+" if self._path.is_file() else "w+", shape=self._shape)

    def _saved(self) -> np.ndarray | None:
        """Which rows an earlier process saved about the same."""
        if not (self._path.is_file() and self._index.is_file()):
            return None
        with open_arrays(self._index, _REMEDY) as index:
            if str(index["about"]) != self._about:
                return None
            known = index["known"]
        fits = known.shape == self._shape[:2] and known.dtype == bool
        if not fits or self._path.stat().st_size != 2 * math.prod(self._shape):
            raise DataError(f"`{self._index}` and `{self._path}` are not as a run left them. {_REMEDY}")
        return known

    def _make_room(self) -> None:
        self.remove()
        views, pictures, numbers = self._shape
        wanted, free = 2 * views * pictures * numbers, disk_usage(self._path.parent).free
        if wanted > free:
            raise DataError(
                f"the teacher's answers to {views} views of {pictures} pictures take {wanted / 1e9:.1f} GB, and "
                f"{self._path.parent} has {free / 1e9:.1f} GB left. Make room, or set fewer `views` in [distill]; with "
                "0, the teacher is asked every time."
            )
