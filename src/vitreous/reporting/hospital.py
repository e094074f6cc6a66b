"""The maps of medical pictures as files that hospitals read: objects of DICOM, volumes of NIfTI."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitreous.medical.derived import Finding, write_derived
from vitreous.medical.nifti import write_volume
from vitreous.medical.scan import NOT_FOR_DIAGNOSIS
from vitreous.methods.exports import Exported
from vitreous.models.loaded import LoadedModel
from vitreous.render.labelled import labelled

__all__ = ["MEDICAL", "raw_values", "write_objects", "write_volumes"]

MEDICAL = ("dicom", "nifti")
"""Formats of medical pictures alone, each for those that came in it."""


def write_objects(map_: Exported, path: Path, stem: Path, model: LoadedModel) -> None:
    """Write the DICOM objects of one map.

    Raises:
        DataError: the file cannot be read, or lacks what the standard asks for.
        MissingExtra: highdicom is not installed.
    """
    given, at = map_.explanation, map_.index
    text = f"{map_.title}, by {model.short_name}. {NOT_FOR_DIAGNOSIS}"
    shown = labelled(given.overlay(at, whole=True, picture=map_.picture), text)
    strong = given.mask(0.5, at, picture=map_.picture).cpu().numpy()
    method = getattr(given.method, "title", type(given.method).__name__)
    found = (raw_values(map_), np.asarray(shown), strong)
    write_derived(path, Finding(method, map_.explained, model.short_name, model.weights_sha256, *found), stem)


def write_volumes(
    found: Mapping[tuple[str, Path], Mapping[Path, NDArray[np.float32]]], folder: Path, told: str
) -> None:
    """Write a volume for each name and slice's file: the values of all slices of that file.

    Raises:
        DataError: the volume cannot be read, or the disk says no.
    """
    for (name, file), values in found.items():
        to = folder / name
        to.parent.mkdir(parents=True, exist_ok=True)
        write_volume(file, values, to, told)


def raw_values(map_: Exported) -> NDArray[np.float32]:
    """The raw map in the picture's pixels."""
    return map_.explanation.at_picture_size(map_.index, picture=map_.picture).float().cpu().numpy()
