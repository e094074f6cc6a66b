"""`vitreous explain --report`: pages of what a run left, also where an earlier one had done the work."""

from __future__ import annotations

import html
import json
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
from vitreous.reporting.pages import check_pages
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


def test_what_is_the_users_own_is_found_before_any_work(job: PictureJob) -> None:
    (job.output / "report" / "deep").mkdir(parents=True)
    check_pages(job.output / "report.html")
    (job.output / "report" / "deep" / "mine.html").write_text("mine")
    with pytest.raises(DataError, match=r"mine\.html` is there already, and is no page of vitreous"):
        check_pages(job.output / "report.html")


def test_pictures_of_one_name_and_all_their_classes_are_told(job: PictureJob, tmp_path: Path) -> None:
    files = [tmp_path / name / "x.png" for name in ("a", "b", "c")]
    for at, file in enumerate(files):
        file.parent.mkdir()
        noise(at).save(file)
    files[2].write_text("no picture")
    list(explain_pictures(job, files))
    text = report_pictures(job).read_text()
    read = Read(text)
    assert {"a/x.png", "b/x.png", "c/x.png"} <= {each.strip() for each in read.texts}
    kinds = [json.loads(html.unescape(each)) for each in re.findall('<li data-kinds="(.*?)"', text)]
    assert [len(each) for each in kinds] == [2, 2, 0]
    assert f'<span class="bad"><code>{files[2].name}</code> is not a picture' in text


def test_how_alike_maps_are_is_told_of_every_class(job: PictureJob, files: list[Path]) -> None:
    list(explain_pictures(job, files[:1]))
    text = report_pictures(job).read_text()
    alike = [round(each["maps"]["ag_cam"]["agreement"]["mgrw"], 2) for each in data_of(text)["trust"]]
    tables = re.findall(r'aria-label="agreement of maps of ([^"]*)">(.*?)</table>', text, re.DOTALL)
    assert [name for name, _ in tables] == [each["name"] for each in data_of(text)["classes"]]
    for value, (_, table) in zip(alike, tables, strict=True):
        assert table.count(f"<td>{value:+.2f}</td>") == 2


def test_the_command_takes_names_prompts_and_trust(job: PictureJob, tmp_path: Path) -> None:
    names = ("a", "b", "c", "d")
    prompted = replace(job.model, prompts=("a cat", "a dog"), name="hf:my/clip")
    asked = replace(job, class_names=names, names_file=tmp_path / "names.txt", model=prompted)
    said = command_of(asked, tmp_path / "--x.png")
    assert said.startswith("vitreous explain ./--x.png --model hf:my/clip --prompt 'a cat' --prompt 'a dog'")
    assert "--class-names names.txt" in said
    assert "--trust-orders 2" in said
    assert "--trust-orders" not in command_of(replace(job, trust=TrustSettings()), tmp_path / "x.png")
    assert command_of(replace(asked, names_file=None), tmp_path / "x.png") == ""


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
