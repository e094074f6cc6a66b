"""What hospitals get back: objects of the same patient and study on the same pixels, volumes on the same grid."""

from __future__ import annotations

from pathlib import Path

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest

from tests.cli.conftest import Run
from tests.medical.made import CT, NUMBER, PATIENT, SC, body, dicom, enhanced, series, volume
from tests.medical.test_commands import SECRETS, told
from tests.tiny import noise
from vitreous.methods.explanation import Explanation

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.slow
def test_objects_of_a_radiograph_and_of_a_slice(run: Run, folder: Path, tmp_path: Path) -> None:
    window = {"WindowCenter": 40, "WindowWidth": 400}
    sources = {
        "film": dicom(tmp_path / "in" / "film.dcm", body(), **window),
        "ct": dicom(tmp_path / "in" / "ct.dcm", body(), CT, **window),
        "dose": dicom(tmp_path / "in" / "dose.dcm", body(), NumberOfFrames=1, **window),
        "doppler": dicom(tmp_path / "in" / "doppler.dcm", np.full((40, 40, 3), 90, np.uint8), SC),
    }
    noise(1).save(tmp_path / "in" / "photo.png")
    words = ("explain", "in", "--model", folder, "--method", "rollout,attn_lrp", "--output", "out", "--export", "dicom")
    done = run(*words)
    assert done.exit_code == 0, done.output
    assert "`photo.png` is no file of DICOM" in done.stderr
    exports = tmp_path / "out" / "exports"
    for name, source in sources.items():
        kinds = {path.name.split(".", 1)[1] for path in (exports / name).glob("rollout.*")}
        assert kinds == {"sc.dcm", "seg.dcm"} | ({"pm.dcm"} if name == "ct" else set())
        whole = pydicom.dcmread(source)
        for path in (exports / name).glob("*.dcm"):
            made = pydicom.dcmread(path)
            assert (str(made.PatientName), made.PatientID) == (PATIENT, NUMBER)
            assert made.StudyInstanceUID == whole.StudyInstanceUID
            assert made.SeriesInstanceUID != whole.SeriesInstanceUID
            assert made.Manufacturer == "vitreous"
            assert "vitreous" in {each.Manufacturer for each in made.ContributingEquipmentSequence}
            assert "research only" in made.SeriesDescription
    capture = pydicom.dcmread(exports / "film" / "rollout.sc.dcm")
    assert "Not a medical device" in capture.DerivationDescription
    assert capture.pixel_array.shape[0] > 40  # the label stands under the picture, not on it
    found = Explanation.load(tmp_path / "out" / "ct.npz", "rollout")
    marked = highdicom.seg.segread(exports / "ct" / "rollout.seg.dcm").pixel_array
    values = pydicom.dcmread(exports / "ct" / "rollout.pm.dcm").pixel_array
    assert marked.shape == values.shape == (40, 40)
    known = values > -1e29
    assert values[known].max() <= found.heatmap.max() + 1e-6
    assert (marked[known] == (values[known] >= (found.heatmap.min() + found.heatmap.max()).item() / 2)).mean() > 0.99
    before = {path: pydicom.dcmread(path).SOPInstanceUID for path in exports.rglob("*.dcm")}
    assert run(*words).exit_code == 0
    assert {path: pydicom.dcmread(path).SOPInstanceUID for path in exports.rglob("*.dcm")} == before
    assert run(*words, "--window", "-900,900").exit_code == 0
    assert not {pydicom.dcmread(path).SOPInstanceUID for path in (exports / "ct").rglob("*.sc.dcm")} & {
        *before.values()
    }
    assert not any(secret in told(tmp_path / "out") + done.output for secret in SECRETS)


def test_slices_of_a_series_and_frames_of_an_enhanced_file_lie_in_space(run: Run, folder: Path, tmp_path: Path) -> None:
    slices = series(tmp_path / "ct", 3)
    frames = pydicom.dcmread(enhanced(tmp_path / "whole.dcm", slices)).PerFrameFunctionalGroupsSequence
    heights = [frame.PlanePositionSequence[0].ImagePositionPatient[2] for frame in frames]  # in an order of its own
    assert sorted(heights) == [0, 2, 4]
    words = ("--model", folder, "--method", "rollout", "--target", "0", "--output", "out", "--export", "dicom")
    done = run("explain", "ct", "whole.dcm/2:4", *words)
    assert done.exit_code == 0, done.output
    exports = tmp_path / "out" / "exports"
    for kind in ("sc", "seg", "pm"):
        apart = [pydicom.dcmread(exports / "ct" / str(at) / f"rollout.{kind}.dcm") for at in range(3)]
        assert len({made.SeriesInstanceUID for made in apart}) == 1
        assert len({made.SOPInstanceUID for made in apart}) == 3
        assert [made.InstanceNumber for made in apart] == [1, 2, 3]
        within = [pydicom.dcmread(exports / "whole" / f"00{at}" / f"rollout.{kind}.dcm") for at in (2, 3)]
        assert len({made.SeriesInstanceUID for made in within}) == 1
        if kind == "sc":
            continue
        for height, made in zip([0, 2, 4, *heights[1:]], [*apart, *within], strict=True):
            (frame,) = made.PerFrameFunctionalGroupsSequence
            assert frame.PlanePositionSequence[0].ImagePositionPatient == [0, 0, height]
            assert made.FrameOfReferenceUID == pydicom.dcmread(slices[0]).FrameOfReferenceUID
        same = apart[int(heights[1]) // 2]
        np.testing.assert_allclose(within[0].pixel_array, same.pixel_array, atol=1e-6)


def test_a_file_of_which_none_can_be_made_stops_no_other(run: Run, folder: Path, tmp_path: Path) -> None:
    """Such as one that says no patient's number, as files without names do, or a date that is none."""
    bad = dicom(tmp_path / "in" / "a.dcm", body(), StudyDate="16050116")
    bad.write_bytes(bad.read_bytes().replace(b"16050116", b"Quixdate"))
    nameless = pydicom.dcmread(dicom(tmp_path / "in" / "b.dcm", body(), StudyTime="10:11:12"))
    for name in ("PatientID", "PatientName", "AccessionNumber", "StudyID", "StudyDate"):
        delattr(nameless, name)
    nameless.save_as(tmp_path / "in" / "b.dcm")
    lone = pydicom.dcmread(dicom(tmp_path / "in" / "c.dcm", body()))
    del lone.SeriesInstanceUID
    lone.save_as(tmp_path / "in" / "c.dcm")
    nowhere = pydicom.dcmread(dicom(tmp_path / "in" / "d.dcm", body(), CT))
    del nowhere.FrameOfReferenceUID
    nowhere.save_as(tmp_path / "in" / "d.dcm")
    done = run(
        "explain", "in", "--model", folder, "--method", "rollout", "--output", "out", "--export", "dicom,nifti,claim"
    )
    assert done.exit_code == 1
    assert "no SC can be made of" in done.stderr
    assert "a.dcm`: ValueError" in done.stderr
    assert "DICOM objects of 3 of 4 pictures could not be made" in done.stderr
    assert "Quix" not in done.output
    assert "c.dcm`: it has no SeriesInstanceUID." in done.stderr
    assert "no SEG can be made of `d.dcm`: it has no FrameOfReferenceUID." in done.stderr
    made = pydicom.dcmread(tmp_path / "out" / "exports" / "b" / "rollout.seg.dcm")
    assert (made.PatientID, made.StudyTime) == ("", "101112")


@pytest.mark.parametrize("turned", [False, True])
def test_a_volume_of_maps_lies_on_the_volume(run: Run, folder: Path, tmp_path: Path, turned: bool) -> None:
    affine = np.diag([-1.5, 1.5, 3, 1]) if turned else np.diag([1.5, -1.5, 3, 1])
    affine[:3, 3] = (7, -8, 9)
    values = np.moveaxis(np.stack([np.roll(body(), at) for at in range(5)]), 0, -1)
    path = volume(tmp_path / "ct.nii.gz", values, affine)
    words = ("explain", "ct.nii.gz/axial/1:4", "--model", folder, "--method", "rollout", "--output", "out")
    done = run(*words, "--window", "-160,240", "--export", "nifti,tiff")
    assert done.exit_code == 0, done.output
    made = nibabel.load(tmp_path / "out" / "exports" / "ct" / "rollout.nii.gz")
    assert (made.affine == nibabel.load(path).affine).all()
    whole = np.asarray(made.dataobj)
    assert whole.shape == values.shape
    assert [bool(np.isfinite(whole[..., at]).any()) for at in range(5)] == [False, True, True, True, False]
    from PIL import Image

    shown = np.asarray(Image.open(tmp_path / "out" / "exports" / "ct" / "axial" / "002" / "rollout.tiff"))
    across = whole[..., 2].T[:: 1 if turned is False else -1, :: 1 if turned else -1]
    np.testing.assert_array_equal(across, shown)
    assert PATIENT.encode() not in bytes(made.header.binaryblock)
    assert not any(secret in told(tmp_path / "out") for secret in SECRETS)


def test_medical_exports_are_made_again(run: Run, folder: Path, tmp_path: Path) -> None:
    dicom(tmp_path / "in" / "ct.dcm", body(), CT, WindowCenter=40, WindowWidth=400)
    volume(tmp_path / "in" / "mr.nii.gz", np.moveaxis(np.stack([body()] * 5), 0, -1))
    words = ("--model", folder, "--method", "rollout", "--output", "out", "--export", "dicom,nifti")
    done = run("explain", "in/ct.dcm", "in/mr.nii.gz/axial/1:3", *words)
    assert done.exit_code == 0, done.output
    done = run("reproduce", "out")
    assert done.exit_code == 0, done.output
    kinds = ("ct/rollout.sc.dcm", "ct/rollout.seg.dcm", "ct/rollout.pm.dcm", "mr/rollout.nii.gz")
    assert all(f"exports/{name}: the same to the bit" in done.output for name in kinds)
    path = tmp_path / "out" / "exports" / "ct" / "rollout.sc.dcm"
    other = pydicom.dcmread(path)
    other.PixelData = bytes(len(other.PixelData))
    other.save_as(path)
    (path.parent / "rollout.pm.dcm").write_bytes(b"none")
    done = run("reproduce", "out", "--output", "other")
    assert done.exit_code == 3
    assert "rollout.sc.dcm: differs, and by no share" in done.output
    assert "rollout.pm.dcm` is no DICOM file" in done.output
