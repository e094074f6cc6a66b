"""`vitreous explain`: several models side by side, and files for other programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.cli.conftest import Run
from tests.tiny import noise


def test_models_are_rows_of_one_sheet_and_of_one_page(run: Run, folder: Path, pooling: Path) -> None:
    models = ("--model", folder, "--model", pooling)
    done = run("explain", *models, "--method", "layer_cam,grad_cam", "--target", "hen", "--report", "--trust-orders", 2)
    assert (done.exit_code, "Models side by side: 1 sheet" in done.stdout) == (0, True), done.output
    with Image.open("explained/chelsea.png") as page:
        assert page.width > 900, "a picture and two maps"
        assert page.height > 800, "two rows"
    maps: list[Any] = []
    for place in (folder.name, pooling.name):
        with np.load(Path("explained", place, "chelsea.npz")) as kept:
            assert kept["target"].tolist() == [2]
            maps.append(kept["grad_cam"])
    assert not np.array_equal(*maps)
    page = Path("explained/report.html").read_text()
    assert all(f"{place}: hen" in page for place in (folder.name, pooling.name))
    assert all(page.count(f"<h3>{place}</h3>") == 4 for place in (folder.name, pooling.name)), "on each tab"
    assert f"Models: {folder.name}, {pooling.name}" in page
    assert f"vitreous explain --sample chelsea --model {folder.name} --model {pooling.name} --method layer_cam" in page
    again = run("explain", *models, "--method", "layer_cam,grad_cam", "--target", "hen", "--trust-orders", 2)
    assert again.exit_code == 0, "its own folder is filled further"
    for words, said in (
        (["--checkpoint", "w.pth"], "weights of one model"),
        (["--method", "best"], "for one model"),
    ):
        done = run("explain", *models, *words, "--output", "other")
        assert done.exit_code == 2
        assert said in done.stderr
    alone = run("explain", "--model", folder, "--method", "ag_cam")
    assert alone.exit_code == 1
    assert "Choose another output folder" in alone.stderr


def test_exports_are_files_for_other_programs(run: Run, folder: Path) -> None:
    for at, place in enumerate(("a", "b")):
        Path("in", place).mkdir(parents=True)
        noise(at).save(Path("in", place, "x.png"))
    words = ["explain", "in", "--model", folder, "--method", "ag_cam,grad_cam", "--target", "top-2"]
    done = run(*words, "--export", "svg, coco", "--output", "out")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "Exports: out/exports" in done.stdout
    made = {each.relative_to("out/exports").as_posix() for each in Path("out/exports").rglob("*.*")}
    read = json.loads(Path("out/exports/ag_cam.json").read_text())
    classes = [each["id"] - 1 for each in read["categories"]]
    single = {each for each in made if each.endswith(".svg")}
    assert made - single == {"ag_cam.json", "grad_cam.json", "manifest.json", ".manifest.json.lock"}
    assert len(single) == 8
    assert single <= {f"{at}/x/{m}-{c}.svg" for at in "ab" for m in ("ag_cam", "grad_cam") for c in classes}
    assert [each["file_name"] for each in read["images"]] == ["a/x.png", "b/x.png"]
    assert {each["image_id"] for each in read["annotations"]} == {1, 2}
    done = run(*words, "--export", "csv", "--output", "out")  # its own folder is filled further
    assert done.exit_code == 0
    assert len([*Path("out/exports").rglob("*.csv")]) == 8


def test_a_class_that_one_of_several_models_has_not_is_told_before_any_work(run: Run, folder: Path) -> None:
    done = run("explain", "--model", folder, "--model", "tiny20", "--method", "ag_cam", "--target", "hen")
    assert done.exit_code != 0
    assert 'the model `tiny20` has no class named "hen". Known: goldfish' in done.stderr
    assert not [*Path("explained").iterdir()]


def test_files_of_one_class_against_another_tell_both(run: Run, folder: Path) -> None:
    noise(1).save("x.png")
    own = [f"kind {at}" for at in range(4)]
    Path("names.txt").write_text("\n".join(own))
    words = ["explain", "x.png", "--model", folder, "--method", "ag_cam", "--class-names", "names.txt"]
    done = run(*words, "--target", "kind 1", "--against", "kind 0", "--report", "--export", "svg,csv,coco")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "Trust in the maps of kind 1 rather than kind 0," in " ".join(done.stdout.split()), "over lines"
    made = {each.name for each in Path("explained/exports").rglob("*.*")} - {"manifest.json", ".manifest.json.lock"}
    assert made == {"ag_cam-1-against-0.svg", "ag_cam-1-against-0.csv", "ag_cam-against-0.json"}
    assert "kind 1 rather than kind 0" in Path("explained/exports/x/ag_cam-1-against-0.svg").read_text()
    read = json.loads(Path("explained/exports/ag_cam-against-0.json").read_text())
    assert read["categories"] == [{"id": 2 + len(own), "name": "kind 1 rather than kind 0"}]
    assert "<h1>kind 1 rather than kind 0 · " in Path("explained/report.html").read_text()


def test_what_cannot_be_exported_is_told_before_any_work(run: Run, folder: Path) -> None:
    done = run("explain", "--model", folder, "--export", "tif")
    assert done.exit_code == 2
    assert "tiff" in done.stderr
    Path("mine/exports").mkdir(parents=True)
    Path("mine/exports/x").write_text("mine")
    Path("pages").mkdir()
    Path("pages/report.html").write_text("mine")
    for words in (("--export", "csv", "--output", "mine"), ("--report", "--output", "pages")):
        done = run("explain", "--model", folder, *words)
        assert done.exit_code == 1
        assert "is there already" in done.stderr
        assert "Sheet" not in done.stdout
    assert len([*Path("mine").iterdir()]) == len([*Path("pages").iterdir()]) == 1
