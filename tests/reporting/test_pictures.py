"""`vitreous explain --report`: pages of what a run left, also where an earlier one had done the work."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from tests.reporting.test_pages import Read, data_of
from tests.tiny import noise
from vitreous.errors import DataError
from vitreous.explaining.picture_job import PictureJob
from vitreous.explaining.pictures import explain_pictures
from vitreous.explaining.trust.measure import TrustSettings
from vitreous.methods import make_method
from vitreous.models.zoo import LoadedModel
from vitreous.reporting.command import command_of
from vitreous.reporting.pictures import report_pictures

METHODS = {"ag_cam": make_method("ag_cam"), "mgrw": make_method("mgrw", walks=50, length=6)}


@pytest.fixture
def job(model: LoadedModel, tmp_path: Path) -> PictureJob:
    trust = TrustSettings(orders=2, steps=2)
    return PictureJob(model, METHODS, "top-2", output=tmp_path / "out", trust=trust)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "ada's home"
    folder.mkdir()
    for at in range(2):
        noise(at).save(folder / f"{at}.png")
    (folder / "bad.png").write_text("no picture")
    return [folder / "0.png", folder / "bad.png", folder / "1.png"]


def test_one_picture_has_maps_trust_and_what_was_found(job: PictureJob, files: list[Path]) -> None:
    list(explain_pictures(job, files[:1]))
    text = report_pictures(job).read_text()
    data, read = data_of(text), Read(text)
    assert [each["title"] for each in data["methods"]] == ["AG-CAM", "MGRW"]
    assert data["methods"][1]["blocks"]
    assert len(data["classes"]) == len(data["trust"]) == 2
    assert data["trust"][0]["maps"].keys() == {"ag_cam", "mgrw"}
    assert {"coarse walk", "coarse blocks that stay"} <= set(read.texts)
    assert any(re.fullmatch("above [0-2] of 2 random orders", each) for each in read.texts)


def test_several_have_an_index_and_nothing_of_their_folders_is_told(job: PictureJob, files: list[Path]) -> None:
    list(explain_pictures(job, files))
    before = [job.output / "0.npz", (job.output / "0.npz").stat().st_mtime_ns]
    list(explain_pictures(job, files))  # nothing is done again, and the pages are the same
    assert before[1] == (job.output / "0.npz").stat().st_mtime_ns
    report_pictures(job)
    pages = [*job.output.rglob("*.html")]
    assert {each.relative_to(job.output).as_posix() for each in pages} == {
        "report.html",
        "report/0.html",
        "report/1.html",
    }
    assert "not a picture of a known format" in (job.output / "report.html").read_text()
    for page in pages:
        assert "ada" not in re.sub(r"data:[^\"]*|<script.*?</script>", "", page.read_text(), flags=re.DOTALL)
    list(explain_pictures(job, files))
    report_pictures(job)  # its own pages are written over
    (job.output / "report" / "1.html").write_text("mine")
    with pytest.raises(DataError, match="is no page of vitreous"):
        report_pictures(job)


def test_the_command_says_all_that_was_asked_for(job: PictureJob) -> None:
    file = Path("/home/ada/my cat.png")
    said = command_of(replace(job, against="dog", model=job.model.read_as(grid=(4, 4), link="sigmoid")), file)
    assert "/home" not in said
    for words in (
        "vitreous explain 'my cat.png'",
        "--set mgrw.walks=50 --set mgrw.length=6",
        "--target top-2",
        "--against dog",
        "--link sigmoid",
        "--grid 4,4",
    ):
        assert words in said, words
