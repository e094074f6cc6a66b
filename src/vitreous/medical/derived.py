"""What was found in a DICOM picture, as objects that archives and viewers of hospitals take: they copy whose it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

from vitreous.errors import DataError, MissingExtra
from vitreous.files.reading import read_bytes, within
from vitreous.files.writing import whole_file
from vitreous.medical.dicom import count_frames, read_header, telling_nothing
from vitreous.medical.scan import NOT_FOR_DIAGNOSIS

__all__ = ["Finding", "write_derived"]

_MAKER = "vitreous"
_SCHEME = "99VITREOUS"
_REMEDY = "Copy or export it again."
_PADDING = -1e30
_MAY_BE_EMPTY = (
    *("AccessionNumber", "PatientBirthDate", "PatientID", "PatientName", "PatientSex", "ReferringPhysicianName"),
    *("StudyDate", "StudyID", "StudyTime"),
)
"""What every object has, also empty: files without names often lack it."""


@dataclass(frozen=True)
class Finding:
    """What a method says of a frame, in its pixels.

    Attributes:
        method: as people call it.
        target: the class that it explains; empty without one.
        model: its name.
        weights: their SHA-256.
        values: raw, NaN where the model saw nothing.
        shown: the picture with the map laid on it.
        strong: where the map is strong.
    """

    method: str
    target: str
    model: str
    weights: str
    values: Float[np.ndarray, "height width"]
    shown: UInt8[np.ndarray, "more wide 3"]
    strong: Bool[np.ndarray, "height width"]

    @property
    def told(self) -> str:
        """In a sentence, within the 64 letters of a series' description."""
        return f"{self.method}{f' of {self.target}' if self.target else ''}: research only"[:64]


def write_derived(path: Path, found: Finding, stem: Path) -> list[Path]:
    """Write beside `stem` a Secondary Capture (.sc.dcm), a Segmentation of what is strong, and a Parametric Map.

    The map, of the raw values, needs a place in a frame of reference; so does a segmentation, of a frame among several.
    Patient and study are copied, as archives need it; the objects name this program and the method as contributing
    equipment. Those of one kind, of slices of one series, are a series.

    Args:
        path: the file, or a frame in it.
        found: what was found.
        stem: where the objects go, without a suffix.

    Returns:
        the files that were written.

    Raises:
        DataError: the file cannot be read, or an object cannot be made of it.
        MissingExtra: highdicom is not installed.
    """
    if find_spec("highdicom") is None:
        raise MissingExtra("highdicom", "medical")
    file, frame = within(path)
    source = _completed(read_header(read_bytes(file, _REMEDY), f"`{file}`"))
    written: list[Path] = []
    with telling_nothing():
        for kind, made in _objects(source, found, frame, f"`{file}`"):
            place = stem.with_name(f"{stem.name}.{kind}.dcm")
            with whole_file(place) as part:
                made.save_as(part)
            written.append(place)
    return written


def _completed(source: Any) -> Any:
    """A header with all that objects are asked for, times as they are written since DICOM 3, one frame not counted."""
    for name in _MAY_BE_EMPTY:
        if name not in source:
            setattr(source, name, None)
    if source.StudyTime:
        source.StudyTime = str(source.StudyTime).replace(":", "")
    if count_frames(source) == 1 and "SharedFunctionalGroupsSequence" not in source:
        source.pop("NumberOfFrames", None)  # who writes objects would look for what is said of each frame
    return source


def _objects(source: Any, found: Finding, frame: str, name: str) -> Iterator[tuple[str, Any]]:
    makers: dict[str, Any] = {"sc": _capture}
    where = _where(source, int(frame or 1) - 1)
    if where or count_frames(source) == 1:
        makers["seg"] = partial(_segmentation, where=where)
    if "FrameOfReferenceUID" in source and (where or "ImagePositionPatient" in source):
        makers["pm"] = partial(_parametric_map, where=where)
    for number, (kind, make) in enumerate(makers.items()):
        if kind == "seg" and not found.strong.any():
            continue
        try:
            yield kind, make(source, found, _about(source, found, (kind, frame), 9000 + number))
        except Exception as error:  # what the source lacks; the message may say what it holds
            raise DataError(
                f"no {kind.upper()} can be made of {name}: {_why(error)}. It lacks what the standard asks for, or "
                "writes it otherwise; export it again."
            ) from None


def _why(error: Exception) -> str:
    """The attribute of the standard that is missing, else the kind of error."""
    from pydicom.datadict import tag_for_keyword

    missing = str(error.name) if isinstance(error, AttributeError) else ""
    if "no Frame Of Reference UID" in str(error):
        missing = "FrameOfReferenceUID"
    return f"it has no {missing}" if missing and tag_for_keyword(missing) else type(error).__name__


def _where(source: Any, frame: int) -> Any:
    """The place of a frame of an enhanced file, as its functional groups say it; None where there is none."""
    import highdicom

    each = source.get("PerFrameFunctionalGroupsSequence") or []
    for group in (*each[frame : frame + 1], *(source.get("SharedFunctionalGroupsSequence") or [])):
        if "PlanePositionSequence" in group:
            return [highdicom.PlanePositionSequence.from_sequence(group.PlanePositionSequence)]
    return None


def _about(source: Any, found: Finding, of: tuple[str, str], number: int) -> dict[str, Any]:
    """Series, instance and equipment: the same of the same input and values, so that an archive keeps one."""
    import highdicom
    from pydicom.sr.codedict import codes
    from pydicom.uid import generate_uid

    kind, frame = of
    said = [found.method, found.target, found.weights, kind]
    values = hashlib.sha256(found.values.tobytes() + found.shown.tobytes()).hexdigest()
    equipment = highdicom.ContributingEquipment(
        _MAKER,
        codes.DCM.ProcessingEquipment,
        manufacturer_model_name=_MAKER,
        software_versions=version(_MAKER),
        contribution_description=f"{found.method} of {found.model}, weights {found.weights[:12]}"[:1000],
    )
    return {
        "series_instance_uid": generate_uid(entropy_srcs=[str(source.SeriesInstanceUID), *said]),
        "sop_instance_uid": generate_uid(entropy_srcs=[str(source.SOPInstanceUID), frame, values, *said]),
        "series_number": number,
        "instance_number": int(frame or source.get("InstanceNumber") or 1),
        "manufacturer": _MAKER,
        "contributing_equipment": [equipment],
    }


def _device() -> dict[str, Any]:
    return {"manufacturer_model_name": _MAKER, "software_versions": version(_MAKER), "device_serial_number": "0"}


def _capture(source: Any, found: Finding, about: dict[str, Any]) -> Any:
    import highdicom
    from pydicom import Dataset

    known = source.get("PatientOrientation")
    toward: Any = tuple(known or ("L", "F"))
    made: Any = highdicom.sc.SCImage.from_ref_dataset(
        source, found.shown, "RGB", 8, "PATIENT", patient_orientation=toward, **about
    )
    if not known:
        made.PatientOrientation = None  # it is asked for, and not known
    of = Dataset()
    of.ReferencedSOPClassUID, of.ReferencedSOPInstanceUID = source.SOPClassUID, source.SOPInstanceUID
    made.SourceImageSequence = [of]
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.SeriesDescription, made.DerivationDescription = found.told, f"{found.told}. {NOT_FOR_DIAGNOSIS}"
    return made


def _segmentation(source: Any, found: Finding, about: dict[str, Any], where: Any) -> Any:
    import highdicom
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    identified = highdicom.AlgorithmIdentificationSequence(
        found.method, Code("attribution", _SCHEME, "Attribution map"), version(_MAKER), _MAKER
    )
    described = highdicom.seg.SegmentDescription(
        1,
        found.told,
        codes.SCT.SpatialAndRelationalConcept,
        Code("attribution", _SCHEME, "Area that speaks for a class"),
        "AUTOMATIC",
        identified,
    )
    made = highdicom.seg.Segmentation(
        [source],
        found.strong[None].astype(np.uint8),
        "BINARY",
        [described],
        plane_positions=where,
        content_description=found.told,
        content_label="ATTRIBUTION",
        **about,
        **_device(),
    )
    made.SeriesDescription = found.told
    return made


def _parametric_map(source: Any, found: Finding, about: dict[str, Any], where: Any) -> Any:
    import highdicom
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    values = np.nan_to_num(found.values.astype(np.float32), nan=_PADDING)
    known = found.values[np.isfinite(found.values)]
    low, high = float(known.min()), float(known.max())
    meant = highdicom.pm.RealWorldValueMapping(
        "raw",
        found.told,
        codes.UCUM.NoUnits,
        (low, max(high, low + 1e-12)),
        slope=1.0,
        intercept=0.0,
        quantity_definition=Code("attribution", _SCHEME, "Attribution"),
    )
    made = highdicom.pm.ParametricMap(
        [source],
        values[None],
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[meant],
        voi_lut_transformations=[highdicom.VOILUTTransformation((low + high) / 2, max(high - low, 1e-12))],
        plane_positions=where,
        content_description=found.told,
        content_label="ATTRIBUTION",
        **about,
        **_device(),
    )
    if np.isnan(found.values).any():
        made.FloatPixelPaddingValue = _PADDING
    made.SeriesDescription = found.told
    return made
