"""The commands on hospital files: every file has a line, and nothing but derived DICOM says whose picture it is."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run
from tests.medical.made import CT, NUMBER, PATIENT, PHYSICIAN, SC, body, dicom, volume
from tests.tiny import noise

pytestmark = pytest.mark.filterwarnings("ignore:.*:UserWarning:pydicom")
SECRETS = (PATIENT, PATIENT.partition("^")[0], NUMBER, PHYSICIAN, "15470929", "ACC-0815", "16050116")


def told(folder: Path) -> str:
    """All that the files of a folder hold, also packed."""
    found: list[bytes] = []
    for file in folder.rglob("*"):
        if file.is_file() and file.suffix != ".dcm":
            found.append(file.read_bytes())
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    found += [archive.read(name) for name in archive.namelist()]
    return b"\n".join(found).decode("latin-1")


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder as a hospital sends it."""
    scans = tmp_path / "scans"
    dicom(scans / "study" / "IM0001", body(), CT, WindowCenter=40, WindowWidth=400)
    dicom(scans / "film.dcm", (body() + 1024).astype(np.uint16), PhotometricInterpretation="MONOCHROME1")
    dicom(scans / "doppler.dcm", np.zeros((8, 9, 3), np.uint8) + 90, SC)
    dicom(scans / "cine.dcm", np.zeros((3, 8, 8), np.uint8))
    dicom(scans / "huge.dcm", body(), Rows=60000, Columns=60000)
    (scans / "cut.dcm").write_bytes((scans / "film.dcm").read_bytes()[:900])
    volume(scans / "ct.nii.gz", body()[..., None].repeat(6, 2))
    noise(1).save(scans / "photo.png")
    (scans / "notes.txt").write_text("as they came")
    return scans


def test_every_file_of_a_mixed_folder_has_a_line_and_no_patient(
    run: Run, folder: Path, mixed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done = run(
        "explain", "scans", "--model", folder, "--method", "rollout", "--output", "out", "--report", "--export", "claim"
    )
    assert done.exit_code == 1  # for those that could not be read
    said = done.stdout + done.stderr
    for file in mixed.rglob("*.*"):
        assert file.name in said
    assert "Left out: a file that is no picture: `scans/notes.txt`" in done.stderr
    about = {
        Path(each["file"]).name: each for each in json.loads((tmp_path / "out/manifest.json").read_text())["pictures"]
    }
    assert {name for name, each in about.items() if not each["error"]} == {
        *("IM0001", "film.dcm", "doppler.dcm", "photo.png")
    }
    assert about["IM0001"]["window"] == [-160.0, 239.0]
    assert "gives no window" in about["film.dcm"]["warning"]
    pages = {path.stem: path.read_text() for path in (tmp_path / "out").rglob("*.html")}
    assert all("Not a medical device" in text for text in pages.values())
    shown = {name: "not for diagnosis" in text for name, text in pages.items()}
    assert shown == {"report": False, "IM0001": True, "film": True, "doppler": True, "photo": False}
    assert "-160 is black, 239 white" in pages["IM0001"]
    assert "film.dcm</code>: the file gives no window" in pages["film"]
    assert "scans/film.dcm" not in pages["film"]
    paragraph = (tmp_path / "out/exports/claim.md").read_text()
    assert "Attribution maps were made by Rollout (" in paragraph
    assert "the most probable class in each of 4 pictures. 4 more could not be read or explained" in paragraph
    assert "in the order of the map and in 12 random ones" in paragraph
    assert "of 4 maps" in paragraph
    for text in (told(tmp_path / "out"), said, caplog.text):
        for secret in SECRETS:
            assert secret not in text


def test_slices_of_a_volume_are_explained_once_and_again(run: Run, folder: Path, mixed: Path, tmp_path: Path) -> None:
    words = ("explain", "scans/ct.nii.gz/axial/1:4", "--model", folder, "--method", "rollout", "--window", "-160,240")
    words += ("--output", "out")
    assert run(*words).exit_code == 0
    sheets = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert sheets == [f"ct/axial/00{at}.png" for at in (1, 2, 3)]
    written = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in sheets}
    assert run(*words).exit_code == 0
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in sheets} == written
    assert run("reproduce", "out").exit_code == 0
    volume(mixed / "ct.nii.gz", body()[..., None].repeat(6, 2) + np.int16(9))
    assert run(*words).exit_code == 0
    assert all((tmp_path / "out" / name).stat().st_mtime_ns > at for name, at in written.items())
    assert not any(secret in told(tmp_path / "out") for secret in SECRETS)


def test_data_sets_of_dicom_files(run: Run, folder: Path, tmp_path: Path) -> None:
    for at in range(4):
        dicom(
            tmp_path / "set" / ("dog", "hen")[at % 2] / f"{at}.dcm",
            np.roll(body(), at),
            WindowCenter=40,
            WindowWidth=400,
        )
    (tmp_path / "set/dog/0.dcm").rename(tmp_path / "set/dog/IM0001")
    dicom(tmp_path / "set/hen/cine.dcm", np.zeros((3, 8, 8), np.uint8))
    (tmp_path / "set/notes.txt").write_text("as they came")
    flags = ("--model", folder, "--method", "rollout", "--metric", "average_drop", "--output", "out")
    done = run("benchmark", "folder:set", *flags)
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "out/manifest.json").read_text())["dataset"]["pictures"] == 5
    assert "1 of its files are no pictures: `notes.txt`" in done.stderr
    assert "hen/cine.dcm was left out" in done.stdout
    assert "3 frames. Save the one that you mean as a file of its own." in done.stdout
    assert "Not a medical device" in (tmp_path / "out/summary.html").read_text()
    assert not any(secret in told(tmp_path / "out") + done.output for secret in SECRETS)
