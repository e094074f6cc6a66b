"""Many pictures, of which some are odd or bad: what fails is told, and fails alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.explaining.made_up import TWO, Brightness, Refusal, manifest, names, run
from tests.tiny import BAD, GOOD
from vitreous.errors import DataError, ObservationError
from vitreous.explaining.pictures import PictureJob, explain_pictures


@pytest.mark.parametrize("name", GOOD)
def test_unusual_pictures_are_explained(job: PictureJob, tmp_path: Path, name: str) -> None:
    GOOD[name](tmp_path / name)
    (result,) = run(job, [tmp_path / name])
    assert result.sheet
    assert not result.error


@pytest.mark.parametrize("name", BAD)
def test_a_bad_picture_is_told_about_and_the_others_are_done(
    job: PictureJob, pictures: list[Path], tmp_path: Path, name: str
) -> None:
    make, said = BAD[name]
    make(tmp_path / name)
    results = run(job, [pictures[0], tmp_path / name, pictures[1]])
    assert [bool(result.sheet) for result in results] == [True, False, True]
    assert said in results[1].error
    assert name in results[1].error
    told = results[1].error.replace(str(tmp_path), "..")  # as it lies from the output folder
    assert [entry["error"] for entry in manifest(job)["pictures"]] == [None, told, None]  # type: ignore[attr-defined]


def test_only_bad_pictures(job: PictureJob, tmp_path: Path) -> None:
    (result,) = run(job, [tmp_path / "missing.png"])
    assert "there is no file" in result.error
    assert names(job.output) == {"manifest.json"}


def test_a_batch_that_fails_for_one_picture_is_done_one_by_one(job: PictureJob, pictures: list[Path]) -> None:
    Image.new("RGB", (8, 8), "white").save(pictures[1])
    job = replace(job, methods={"brightness": Brightness(), "ag_cam": TWO["ag_cam"]}, target="dog")
    results = run(job, pictures)
    assert Brightness.calls == [3, 1, 1, 1]
    assert [result.refused for result in results if result.file != pictures[1]] == [{}] * 2
    assert results[1].refused == {"brightness": "too bright. Draw the curtains."}
    with np.load(job.output / "b.npz") as maps:
        assert "brightness" not in maps
        assert "ag_cam" in maps


def test_a_picture_that_no_method_explains_has_an_error_and_no_files(job: PictureJob, pictures: list[Path]) -> None:
    Image.new("RGB", (8, 8), "white").save(pictures[0])
    results = run(replace(job, methods={"brightness": Brightness()}, target="dog"), pictures[:2])
    assert results[0].error
    assert results[0].predicted
    assert names(job.output) == {"b.png", "b.npz", "manifest.json"}


def test_a_method_that_does_not_apply_is_asked_once(job: PictureJob, pictures: list[Path]) -> None:
    results = run(replace(job, methods={"refusal": Refusal(), **TWO}, batch_size=2), pictures)
    assert Refusal.calls == [2]
    assert [result.refused for result in results] == [{"refusal": "there is none. Look elsewhere."}] * 3
    assert all(result.sheet for result in results)


def test_no_method_applies(job: PictureJob, pictures: list[Path]) -> None:
    with pytest.raises(ObservationError, match=r"^there is none\. Look elsewhere\.$"):
        run(replace(job, methods={"refusal": Refusal()}), pictures)
    assert manifest(job)["pictures"] == []
    with pytest.raises(
        ObservationError, match=r"no method applies to `.*`\. By a, b: there is none\. Look elsewhere\.$"
    ):
        run(replace(job, methods={"a": Refusal(), "b": Refusal()}), pictures)


def test_an_output_that_cannot_be_a_folder(job: PictureJob, pictures: list[Path]) -> None:
    with pytest.raises(DataError, match=r"`.*a\.png/out` cannot be written: Not a directory"):
        run(replace(job, output=pictures[0] / "out"), pictures)


def test_a_file_that_cannot_be_written_fails_alone(job: PictureJob, pictures: list[Path]) -> None:
    long = pictures[0].rename(pictures[0].with_stem("a" * 251))  # of any other name there is no room
    job.output.mkdir()
    (job.output / long.name).touch()
    results = run(job, [long, pictures[1]])
    assert "cannot be written: File name too long" in results[0].error
    assert results[1].sheet
    assert names(job.output) == {long.name, "b.png", "b.npz", "manifest.json"}


def test_an_interrupted_run_leaves_a_manifest_of_what_was_done(job: PictureJob, pictures: list[Path]) -> None:
    results = explain_pictures(replace(job, batch_size=1), pictures)
    next(results)
    next(results)
    results.close()  # type: ignore[attr-defined]
    told = [Path(entry["file"]).name for entry in manifest(job)["pictures"]]  # type: ignore[attr-defined]
    assert told == [file.name for file in pictures[:2]]
    assert not [name for name in names(job.output) if name.startswith(".")]
