"""Slices of NIfTI volumes, as radiologists look at them: the patient's right on the left, the front or the top up."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from vitreous.errors import DataError, MissingExtra
from vitreous.files.reading import check_growth
from vitreous.files.writing import whole_file
from vitreous.medical.scan import Scan, asked_places, check_size, whole_range

__all__ = ["PLANES", "SUFFIXES", "is_nifti", "read_nifti", "slices", "write_volume"]

SUFFIXES = (".nii", ".nii.gz")
_HEAD, _GZIP = 348, b"\x1f\x8b"
"""Bytes that are looked at, and what packed ones begin with."""
_MAGIC = (b"n+1\0", b"ni1\0", b"n+2\0", b"ni2\0")
"""At byte 344 of the first version, at byte 4 of the second."""
PLANES = {"sagittal": 0, "coronal": 1, "axial": 2}
"""By the axis that they cut: from left to right, from back to front, from foot to head."""


def slices(path: Path, asked: str) -> list[Path]:
    """The slices that are named: PLANE, PLANE/NUMBER or PLANE/FIRST:END, numbers from 0, from left, back or foot.

    Raises:
        DataError: it is damaged, has other than three dimensions, or there is no such plane or slice.
        MissingExtra: nibabel is not installed.
    """
    image = _open(path)
    plane, _, numbers = asked.partition("/")
    axis = PLANES.get(plane)
    if axis is None:
        raise DataError(_how(path, image))
    count = image.shape[_axes(image)[axis][0]]
    return [path / plane / f"{at:03d}" for at in asked_places(numbers, count, 0, f"`{path}`")]


def is_nifti(encoded: bytes) -> bool:
    """Whether a file's bytes are those of a volume, packed or not."""
    head = encoded[:_HEAD]
    if encoded.startswith(_GZIP):
        try:
            head = zlib.decompressobj(wbits=31).decompress(encoded, _HEAD)
        except zlib.error:
            return False
    return head[344:348] in _MAGIC or head[4:8] in _MAGIC


def read_nifti(path: Path, asked: str) -> Scan:
    """One slice, PLANE/NUMBER, as `slices` names them.

    Raises:
        DataError: as `slices`, or the values are no real numbers.
        MissingExtra: nibabel is not installed.
    """
    image = _open(path)
    plane, _, number = asked.partition("/")
    if plane not in PLANES or not number.isdecimal():
        raise DataError(_how(path, image))
    axes, name = _axes(image), f"`{path}`"
    cut, turned = axes[PLANES[plane]]
    (at,) = asked_places(number, image.shape[cut], 0, name)
    index: list[Any] = [slice(None)] * 3
    index[cut] = image.shape[cut] - 1 - at if turned else at
    first, second = (size for axis, size in enumerate(image.shape[:3]) if axis != cut)
    check_size(first, second, name)
    try:
        values = np.asarray(image.dataobj[(*index, *[0] * (image.ndim - 3))])
    except Exception as error:
        raise DataError(f"{name} is damaged: {type(error).__name__} while reading a slice. Copy it again.") from None
    if values.dtype.kind not in "biuf":
        raise DataError(f"{name} holds {values.dtype}, no gray values. Convert it to numbers.")
    values = _upright(values, axes, plane).astype(np.float64)
    low, high = (float(image.header[name]) for name in ("cal_min", "cal_max"))
    if math.isfinite(low) and low < high < math.inf:
        return Scan(values, (low, high))
    return Scan(values, whole_range(values), told="the file gives no window, so the whole range of the slice was taken")


def write_volume(path: Path, found: Mapping[Path, Float[np.ndarray, "height width"]], to: Path, told: str) -> None:
    """What was found in slices of a volume, as a volume of its shape and affine: NaN where no slice was looked at.

    Nothing else of the volume's header is taken, which may name a patient.

    Args:
        path: of the volume.
        found: by slice, as `slices` names them, raw values in its pixels.
        to: where it is written, .nii.gz.
        told: what it is, in at most 80 letters.

    Raises:
        DataError: the volume cannot be read, or the disk says no.
        MissingExtra: nibabel is not installed.
    """
    import nibabel

    image = _open(path)
    axes, whole = _axes(image), np.full(image.shape[:3], np.nan, np.float32)
    for place, values in found.items():
        plane, number = place.parts[-2:]
        cut, turned = axes[PLANES[plane]]
        index: list[Any] = [slice(None)] * 3
        index[cut] = image.shape[cut] - 1 - int(number) if turned else int(number)
        _upright(whole[tuple(index)], axes, plane)[:] = values
    made = nibabel.Nifti1Image(whole, image.affine)
    made.header["descrip"] = told.encode("ascii", "replace")[:79]
    with whole_file(to) as part:
        nibabel.save(made, part)


def _upright(values: NDArray[Any], axes: Sequence[tuple[int, bool]], plane: str) -> NDArray[Any]:
    """A view of a slice as it is looked at: to the patient's left, or to the back, and down."""
    along, down = (axes[each] for each in range(3) if each != PLANES[plane])
    rows_first = values.T if along[0] < down[0] else values
    return rows_first[:: 1 if down[1] else -1, :: 1 if along[1] else -1]


def _open(path: Path) -> Any:
    try:
        import nibabel
        from nibabel.imageglobals import LoggingOutputSuppressor
    except ImportError:
        raise MissingExtra("nibabel", "medical") from None
    try:
        with LoggingOutputSuppressor():  # what it finds odd in a header, it would print
            image: Any = nibabel.load(path)
        shape, bits = tuple(image.shape), int(image.header["bitpix"])
        known = isinstance(image, nibabel.Nifti1Image) and _axes(image)
    except Exception as error:
        raise DataError(f"`{path}` is damaged or no NIfTI: {type(error).__name__}. Copy or convert it again.") from None
    if not known or len(shape) < 3 or any(size != 1 for size in shape[3:]) or min(shape) < 1:
        raise DataError(f"`{path}` has {'×'.join(map(str, shape))} values. Save one volume of three dimensions.")
    check_growth(f"`{path}`", path.stat().st_size, math.prod(shape) * bits // 8, "Copy or convert it again.")
    return image


def _axes(image: Any) -> list[tuple[int, bool]]:
    """For right, front and head: which axis of the array runs there, and whether it runs the other way."""
    from nibabel.orientations import io_orientation

    found = io_orientation(image.affine)
    by_axis = {int(out): (axis, flip < 0) for axis, (out, flip) in enumerate(found)}  # raises where one is left out
    return [by_axis[each] for each in range(3)]


def _how(path: Path, image: Any) -> str:
    counts = {plane: image.shape[_axes(image)[axis][0]] for plane, axis in PLANES.items()}
    told = ", ".join(f"{count} {plane}" for plane, count in counts.items())
    middle = counts["axial"] // 2
    return (
        f"`{path}` is a volume of slices: {told}. Name one, such as `{path}/axial/{middle}`, a range, "
        f"`{path}/axial/{middle}:{min(middle + 20, counts['axial'])}`, or all of a plane, `{path}/axial`."
    )
