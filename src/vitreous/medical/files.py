"""Which files are medical, and what is in them: a frame of DICOM, a slice of NIfTI."""

from __future__ import annotations

from pathlib import Path, PurePath

from vitreous.files.reading import read_bytes, within
from vitreous.medical.dicom import count_frames, is_dicom, read_dicom, read_header
from vitreous.medical.nifti import SUFFIXES as NIFTI
from vitreous.medical.nifti import read_nifti, slices
from vitreous.medical.scan import Scan, asked_places

__all__ = ["HEAD", "SUFFIXES", "is_bare", "is_medical", "kind_of", "looks_medical", "open_scan", "places"]

SUFFIXES = (".dcm", ".dicom", *NIFTI)
"""What `find_pictures` takes for medical; DICOM files without a suffix are known by what they begin with."""
HEAD = 132
"""Bytes that tell whether a file is DICOM's."""
_REMEDY = "Copy or export it again."


def is_medical(path: Path) -> bool:
    """Whether a path is a medical file, or a frame or slice in one."""
    file, _ = within(path)
    return file.is_file() and (file.name.lower().endswith(SUFFIXES) or is_dicom(_head(file)))


def looks_medical(file: Path) -> bool:
    """Whether a file found in a folder is taken for one: by its suffix or, where it has none, by its beginning."""
    return file.name.lower().endswith(SUFFIXES) or (is_bare(file.name) and is_dicom(_head(file)))


def is_bare(name: str) -> bool:
    """Whether the name of a file says nothing of what is in it, as those of DICOM files often do.

    >>> is_bare("IM-0001"), is_bare("1.2.840.10008.5"), is_bare("notes.md")
    (True, True, False)
    """
    suffix = PurePath(name).suffix
    return not suffix or suffix[1:].isdecimal()


def places(path: Path) -> list[Path]:
    """The frames or slices that a path names, one or a range; the path itself where it names the whole file.

    Raises:
        DataError: the file is damaged, or there is none of them.
    """
    file, asked = within(path)
    if not asked:
        return [path]
    if _is_nifti(file):
        return slices(file, asked)
    count = count_frames(read_header(read_bytes(file, _REMEDY), f"`{file}`"))
    return [file / f"{at:03d}" for at in asked_places(asked, count, 1, f"`{file}`")]


def open_scan(path: Path) -> Scan:
    """A frame or slice.

    Raises:
        DataError: it cannot be read, or the file has several and none is named.
        MissingExtra: what reads such files is not installed.
    """
    file, asked = within(path)
    if _is_nifti(file):
        return read_nifti(file, asked)
    return read_dicom(read_bytes(file, _REMEDY), asked, f"`{file}`", file)


def kind_of(path: Path) -> str:
    """Of a medical file, "dicom" or "nifti"; of others nothing."""
    return "" if not is_medical(path) else "nifti" if _is_nifti(within(path)[0]) else "dicom"


def _is_nifti(file: Path) -> bool:
    return file.name.lower().endswith(NIFTI)


def _head(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(HEAD)
    except OSError:  # whoever reads it says why
        return b""
