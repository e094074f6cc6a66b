"""DICOM and NIfTI as pictures: as pydicom's own pipeline and the axes of the body have them; what is odd is told."""

from __future__ import annotations

import gzip
import itertools
import struct
import warnings
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from tests.medical.made import CT, NUMBER, PATIENT, SC, body, dicom, volume
from vitreous.data.finding import find_pictures
from vitreous.data.pictures import open_encoded, open_picture
from vitreous.errors import DataError, ExplainWarning

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:pydicom")


def seen(path: Path, window: Any = None) -> np.ndarray:
    return np.asarray(open_picture(path, window))[..., 0].astype(int)


@pytest.mark.parametrize("name", ["MR_small.dcm", "examples_overlay.dcm", "MR_small_RLE.dcm"])
def test_the_first_window_is_that_of_the_standard(name: str) -> None:
    path = get_testdata_file(name, download=False)
    about = pydicom.dcmread(path)
    with warnings.catch_warnings(action="ignore"):
        shown = apply_voi_lut(apply_modality_lut(about.pixel_array, about), about).astype(float)
        found = seen(Path(path))
    bits = about.BitsStored
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if about.PixelRepresentation else (0, 2**bits - 1)
    assert np.abs((shown - low) / (high - low) * 255 - found).max() <= 1


def test_values_are_rescaled_and_windows_are_told(tmp_path: Path) -> None:
    stored = (body() + 1024).astype(np.uint16)
    rescaled = {"RescaleIntercept": -1024, "RescaleSlope": 1}
    path = dicom(tmp_path / "a.dcm", stored, CT, **rescaled, WindowCenter=[40, 500], WindowWidth=[400, 2000])
    with pytest.warns(ExplainWarning, match="the first of 2 windows of the file"):
        picture = open_picture(path)
    assert picture.info["window"] == (-160.0, 239.0)
    assert (np.asarray(picture)[0, 0] == 0).all()
    with warnings.catch_warnings(action="error"):
        assert open_picture(path, (-1000, 1000)).info["window"] == (-1000, 1000)  # who says one is told of none
    bare = dicom(tmp_path / "b.dcm", stored, CT, **rescaled)
    with pytest.warns(ExplainWarning, match="gives no window, so the whole range of its values was taken"):
        assert open_picture(bare).info["window"] == (-1000.0, 700.0)


def test_white_that_is_low_and_places_that_hold_nothing(tmp_path: Path) -> None:
    values = np.array([[0, 100], [200, 9999]], np.uint16)
    window = {"WindowCenter": 100.5, "WindowWidth": 201}
    usual = dicom(tmp_path / "a.dcm", values, **window, PixelPaddingValue=9999)
    turned = dicom(
        tmp_path / "b.dcm", values, **window, PixelPaddingValue=9999, PhotometricInterpretation="MONOCHROME1"
    )
    assert seen(usual).tolist() == [[0, 127], [255, 0]]
    assert seen(turned).tolist() == [[255, 128], [0, 0]]


def test_colors_are_as_they_are(tmp_path: Path) -> None:
    colors = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    assert (np.asarray(open_picture(dicom(tmp_path / "a.dcm", colors, SC))) == colors).all()


def test_a_packed_file_that_says_otherwise_how_its_values_are_written() -> None:
    assert open_picture(get_testdata_file("SC_rgb_jpeg.dcm", download=False)).size == (256, 256)


def test_frames_are_named(tmp_path: Path) -> None:
    frames = np.arange(5, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2) * 10
    path = dicom(tmp_path / "cine.dcm", frames, WindowCenter=127.5, WindowWidth=256)
    with pytest.raises(DataError, match=r"has 5 frames. Name one, such as `.*cine.dcm/3`, or a range"):
        open_picture(path)
    assert [seen(path / str(at))[0, 0] for at in (1, 3, 5)] == [0, 20, 40]
    assert [file.name for file in find_pictures([path / "2:4"])] == ["002", "003"]
    assert [file.name for file in find_pictures([path / "::2"])] == ["001", "003", "005"]
    for wrong in ("0", "6", "x", "3:3", "-1", "1:2:0"):
        with pytest.raises(DataError, match="place"):
            find_pictures([path / wrong])


def test_a_file_without_a_suffix_is_known_by_its_beginning(tmp_path: Path) -> None:
    dicom(tmp_path / "IM0001", body())
    (tmp_path / "NOTES").write_text("none")
    assert find_pictures([tmp_path]) == [tmp_path / "IM0001"]


@pytest.mark.parametrize(
    "turn", list(itertools.product(itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)))
)
def test_slices_lie_as_radiologists_look_at_them(tmp_path: Path, turn: Any) -> None:
    """Whatever the order and the directions of a volume's axes: the patient's right is on the left, the front is up."""
    order, signs = turn
    right, front, head = np.mgrid[:4, :5, :6]
    values = (100 * right + 10 * front + head).astype(np.int16)  # grows to the right, the front and the head
    affine = np.zeros((4, 4))
    stored = values.transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
    for axis, (toward, sign) in enumerate(zip(order, signs, strict=True)):
        affine[toward, axis] = sign
    affine[3, 3] = 1
    path = volume(tmp_path / "a.nii.gz", stored, affine)
    with pytest.warns(ExplainWarning, match="the whole range of the slice"):
        axial = seen(path / "axial" / "2")
    assert axial.shape == (5, 4)
    assert axial[0, 0] == axial.max()  # right and front
    coronal = seen(path / "coronal" / "0", (0, 400))
    assert coronal.shape == (6, 4)
    assert coronal[0, 0] == coronal.max()  # right and head
    sagittal = seen(path / "sagittal" / "0", (0, 60))
    assert sagittal.shape == (6, 5)
    assert sagittal[0, 0] == sagittal.max()  # front and head
    assert [seen(path / "axial" / str(at), (0, 255))[-1, -1] for at in (0, 5)] == [0, 5]


def test_a_volume_says_how_its_slices_are_named(tmp_path: Path) -> None:
    path = volume(tmp_path / "ct.nii", np.zeros((4, 5, 30), np.int16))
    for wrong in (path, path / "30", path / "oblique" / "3"):
        with pytest.raises(DataError, match=r"4 sagittal, 5 coronal, 30 axial. Name one, such as `.*ct.nii/axial/15`"):
            open_picture(wrong)
    assert len(find_pictures([path / "axial"])) == 30
    assert [file.name for file in find_pictures([path / "axial" / "10:30"])][::19] == ["010", "029"]
    with pytest.raises(DataError, match="Save one volume of three dimensions"):
        open_picture(volume(tmp_path / "time.nii", np.zeros((4, 5, 6, 2), np.int16)) / "axial" / "3")


@pytest.mark.parametrize("kind", [".nii", ".nii.gz"])
@pytest.mark.parametrize("make", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_the_bytes_of_a_volume_say_which_command_takes_a_slice(tmp_path: Path, kind: str, make: Any) -> None:
    nibabel.save(make(np.zeros((4, 5, 6), np.int16), np.eye(4)), path := tmp_path / f"ct{kind}")
    with pytest.raises(DataError, match=r"^`picture` is a NIfTI volume, .* `vitreous explain ct.nii.gz/axial/30`\.$"):
        open_encoded(path.read_bytes(), "picture")
    path.replace(renamed := tmp_path / "ct.png")
    with pytest.raises(DataError, match="is a NIfTI volume"):
        open_picture(renamed)


@pytest.mark.parametrize("encoded", [b"n+2", b"\x1f\x8b", b"\x1f\x8bno zip", gzip.compress(b"text " * 99)])
def test_other_bytes_are_no_volume(encoded: bytes) -> None:
    with pytest.raises(DataError, match="not a picture of a known format"):
        open_encoded(encoded, "picture")


BLANK = "0" * len(PATIENT)
HOSTILE: dict[str, dict[str, Any]] = {
    "enormous": {"Rows": 60000, "Columns": 60000},
    "larger than its pixels": {"Rows": 4000, "Columns": 4000},
    "without rows": {"Rows": 0},
    "frames without end": {"NumberOfFrames": "2000000000"},
    "a count of words": {"NumberOfFrames": PATIENT},
    "a window of words": {"WindowCenter": PATIENT, "WindowWidth": "400"},
    "letters of no alphabet": {"SpecificCharacterSet": PATIENT},
    "colors that are none": {"SamplesPerPixel": 4},
    "bits that are none": {"BitsAllocated": 13},
    "no such kind": {"PhotometricInterpretation": PATIENT.upper()[:16]},
    "a slope of words": {"RescaleSlope": float("nan"), "RescaleIntercept": 0},
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_is_damaged_is_a_sentence_without_the_patient(
    tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings(action="ignore"):
        path = tmp_path / "a.dcm"
        dicom(path, body(), **{name: BLANK if each == PATIENT else each for name, each in HOSTILE[kind].items()})
        path.write_bytes(path.read_bytes().replace(BLANK.encode(), PATIENT.encode()))
        caplog.clear()
        try:
            shown = [open_picture(path).size]
        except DataError as error:
            shown = [str(error)]
    assert PATIENT.upper()[:7] not in (str(shown) + caplog.text).upper()
    assert NUMBER not in str(shown)


def test_pixels_that_cannot_be_there_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    many = dicom(tmp_path / "a.dcm", np.zeros((2, 40, 40), np.uint8), NumberOfFrames="1000000")
    packed = pydicom.dcmread(dicom(tmp_path / "b.dcm", np.zeros((900, 900), np.uint8)))
    packed.compress(RLELossless)
    for path, tags in ((many, {}), (tmp_path / "b.dcm", {"NumberOfFrames": "1000000"})):
        if tags:
            packed.NumberOfFrames = tags["NumberOfFrames"]
            packed.save_as(path)
        with pytest.raises(DataError, match=r"in 1000000 frames, for which its .* bytes are too few"):
            open_picture(path)
        with pytest.raises(DataError, match="too few"):
            find_pictures([path / "1:1000001"])
    packed.NumberOfFrames, packed.Rows, packed.Columns = 1, 60000, 60000
    packed.save_as(tmp_path / "b.dcm")
    with pytest.raises(DataError, match="60000×60000 pixels; 1 to 100,000,000 are read"):
        open_picture(tmp_path / "b.dcm")


@pytest.mark.parametrize("kind", [JPEGLSLossless, JPEG2000Lossless])
def test_a_frame_that_is_larger_than_its_header_says_is_not_decoded(tmp_path: Path, kind: str) -> None:
    path = dicom(tmp_path / "a.dcm", np.zeros((40, 30), np.uint8), WindowCenter=40, WindowWidth=400)
    if kind == JPEGLSLossless:
        packed = pydicom.dcmread(path)
        packed.compress(kind)
        packed.save_as(path)
        said, large = b"\x08\x00\x28\x00\x1e", b"\x08\xea\x60\xea\x60"
    else:
        path.write_bytes(Path(get_testdata_file("JPEG2000.dcm", download=False)).read_bytes())
        said, large = (struct.pack(">2I", *size) for size in ((256, 1024), (60000, 60000)))
    assert open_picture(path, (0, 100)).size in ((30, 40), (256, 1024))
    assert path.read_bytes().count(said) >= 1
    path.write_bytes(path.read_bytes().replace(said, large, 1))
    with pytest.raises(DataError, match="60000×60000 pixels; 1 to 100,000,000 are read"):
        open_picture(path)


def test_a_path_that_names_the_patient_is_told(tmp_path: Path) -> None:
    window = {"WindowCenter": 40, "WindowWidth": 400}
    for name in ("quixote/1.dcm", "MRN_4711.dcm"):
        with pytest.warns(ExplainWarning, match="holds the name or number of the patient"):
            open_picture(dicom(tmp_path / name, body(), **window))
    with warnings.catch_warnings(action="error"):
        open_picture(dicom(tmp_path / "47.dcm", body(), **window))
        open_picture(dicom(tmp_path / "quixote" / "2.dcm", body(), **window, PatientIdentityRemoved="YES"))


def test_files_that_are_cut_deflated_or_something_else(tmp_path: Path) -> None:
    whole = dicom(tmp_path / "a.dcm", body()).read_bytes()
    for share in (0.02, 0.1, 0.5, 0.99):
        (tmp_path / "cut.dcm").write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(DataError):
            open_picture(tmp_path / "cut.dcm")
    (tmp_path / "png.dcm").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(DataError, match="is no DICOM file"):
        open_picture(tmp_path / "png.dcm")
    with pytest.raises(DataError, match="is deflated as a whole"):
        open_picture(get_testdata_file("image_dfl.dcm", download=False))
    with pytest.raises(DataError, match="is a DICOM file without a picture"):
        open_picture(get_testdata_file("rtplan.dcm", download=False))


def test_a_picture_with_text_burned_in_is_told(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", body(), BurnedInAnnotation="YES")
    for window in (None, (0, 100)):
        with pytest.warns(ExplainWarning, match="may name the patient"):
            open_picture(path, window)
