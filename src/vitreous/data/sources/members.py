"""Which members of an archive are pictures, by their names or, of DICOM files without a suffix, how they begin."""

from __future__ import annotations

from collections.abc import Callable
from warnings import warn

from vitreous.data.pictures import SUFFIXES
from vitreous.errors import ExplainWarning
from vitreous.files.names import printable
from vitreous.medical.dicom import is_dicom
from vitreous.medical.files import is_bare
from vitreous.medical.nifti import SUFFIXES as VOLUMES

__all__ = ["is_picture", "is_volume", "tell_volumes"]


def is_picture(name: str, head: Callable[[], bytes]) -> bool:
    """Whether a file is a picture: `head` gives the beginning of one whose name does not say; hidden ones are none."""
    last = name.rpartition("/")[2]
    if last.startswith("."):
        return False
    return last.lower().endswith(SUFFIXES) or (is_bare(last) and is_dicom(head()))


def is_volume(name: str) -> bool:
    """Whether a file is a NIfTI volume, which is many pictures.

    >>> is_volume("a/ct.nii.gz"), is_volume("a/._ct.nii")
    (True, False)
    """
    last = name.rpartition("/")[2]
    return last.lower().endswith(VOLUMES) and not last.startswith(".")


def tell_volumes(place: str, count: int) -> None:
    """A line about volumes in an archive, of which no slice can be named.

    Warns:
        ExplainWarning: there are some.
    """
    if count:
        what = "a NIfTI volume" if count == 1 else f"{count:,} NIfTI volumes"
        said = f"`{printable(place)}`: {what} left out. Unpack the archive to name slices for `vitreous explain`."
        warn(said, ExplainWarning, stacklevel=3)
