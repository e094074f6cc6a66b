"""DICOM files and NIfTI volumes of a patient whom nobody may find again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
from highdicom.legacy import LegacyConvertedEnhancedCTImage
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

PATIENT, NUMBER, PHYSICIAN = "Quixote^Alonso", "MRN-4711", "Panza^Sancho"
CR, CT, SC = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.7"


def dicom(path: Path, values: NDArray[Any], kind: str = CR, **tags: Any) -> Path:
    """A file with these pixels: (rows, columns), (frames, rows, columns), or 8-bit colors in three channels."""
    color = values.shape[-1] == 3
    data: Any = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = kind
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = generate_uid()
    data.PatientName, data.PatientID, data.ReferringPhysicianName = PATIENT, NUMBER, PHYSICIAN
    data.PatientBirthDate, data.PatientSex, data.AccessionNumber, data.StudyID = "15470929", "M", "ACC-0815", "7"
    data.StudyInstanceUID, data.SeriesInstanceUID = generate_uid(), generate_uid()
    data.StudyDate, data.StudyTime, data.SeriesNumber, data.InstanceNumber = "16050116", "101112", 1, 1
    data.Modality, data.Manufacturer = {CR: "CR", CT: "CT", SC: "OT"}[kind], "vitreous tests"
    data.PatientOrientation, data.BodyPartExamined = ["L", "F"], "CHEST"
    if kind == CT:
        data.FrameOfReferenceUID = generate_uid()
        data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.SliceThickness = [1, 1], 2
    *frames, data.Rows, data.Columns = values.shape[: -1 if color else None]
    if frames:
        (data.NumberOfFrames,) = frames
    data.SamplesPerPixel, data.PhotometricInterpretation = (3, "RGB") if color else (1, "MONOCHROME2")
    if color:
        data.PlanarConfiguration = 0
    bits = 8 * values.dtype.itemsize
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.PixelRepresentation = int(values.dtype.kind == "i")
    data.PixelData = values.tobytes()
    for name, value in tags.items():
        setattr(data, name, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path


def body(size: int = 40) -> NDArray[np.int16]:
    """A round of tissue with a bright spot, in Hounsfield units."""
    down, along = np.mgrid[:size, :size] / size - 0.5
    values = np.where(down**2 + along**2 < 0.16, 40 + 200 * along, -1000)
    values[(down - 0.1) ** 2 + (along + 0.1) ** 2 < 0.01] = 700
    return values.astype(np.int16)


def series(folder: Path, count: int) -> list[Path]:
    """The slices of a CT, one above the other."""
    one = {name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    slices = [{"ImagePositionPatient": [0, 0, 2 * at], "InstanceNumber": at + 1} for at in range(count)]
    window = {"WindowCenter": 40, "WindowWidth": 400, "RescaleSlope": 1, "RescaleIntercept": 0}
    return [
        dicom(folder / f"{at}.dcm", np.roll(body(), at), CT, **one, **window, **which, AcquisitionNumber=1)
        for at, which in enumerate(slices)
    ]


def enhanced(path: Path, slices: list[Path]) -> Path:
    """All slices of a series in one file of many frames."""
    made = LegacyConvertedEnhancedCTImage(
        [pydicom.dcmread(each) for each in slices],
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
    )
    made.save_as(path)
    return path


def volume(path: Path, values: NDArray[Any], affine: NDArray[Any] | None = None) -> Path:
    """A NIfTI file; its header names a patient, as converters may leave it."""
    image = nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine)
    image.header["descrip"] = PATIENT.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, path)
    return path
