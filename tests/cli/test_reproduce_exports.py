"""`vitreous reproduce` of `vitreous explain --export`: the files for other programs again, with their run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Run
from tests.cli.spoiled import change, check_refused
from tests.tiny import noise

WORDS = ("--method", "rollout,grad_cam", "--target", "top-2", "--output", "out")


@pytest.fixture
def exported(run: Run, folder: Path, tmp_path: Path) -> Path:
    """Two pictures and a damaged one, in all formats."""
    for seed, place in enumerate(("a", "b")):
        (tmp_path / "in" / place).mkdir(parents=True)
        noise(seed).save(tmp_path / "in" / place / "x.png")
    (tmp_path / "in" / "bad.png").write_text("no picture")
    made = run("explain", "in", "--model", folder, *WORDS, "--export", "png,svg,tiff,csv,coco,claim")
    assert made.exit_code == 1
    assert "Exports: out/exports" in made.output
    return tmp_path / "out"


def test_all_formats_are_made_again_with_their_run(run: Run, exported: Path) -> None:
    before = {file: file.read_bytes() for file in exported.rglob("*") if file.is_file()}
    made = run("reproduce", exported / "exports")
    assert made.exit_code == 0, made.output
    assert "exports/a/x/grad_cam-" in made.output
    names = ("exports/claim.md", "exports/grad_cam.json", "exports/rollout.json")
    assert all(f"{name}: the same to the bit" in made.output for name in names)
    assert "Reproduced: 37 of 37 are the same to the bit." in made.output, "2 + 2·2·2·4 + 3 files"
    assert {file: file.read_bytes() for file in exported.rglob("*") if file.is_file()} == before


def test_what_differs_is_told_by_its_kind(run: Run, exported: Path) -> None:
    place = exported / "exports"
    values = json.loads((place / "rollout.json").read_text())
    values["annotations"][0]["score"] *= 2
    values["categories"][0]["name"] = "another"
    (place / "rollout.json").write_text(json.dumps(values))
    png, tiff, table, svg = (
        sorted((place / "a" / "x").glob(f"*{each}"))[0] for each in (".png", ".tiff", ".csv", ".svg")
    )
    with Image.open(png) as drawn:
        Image.fromarray(255 - np.asarray(drawn)).save(png)
    with Image.open(tiff) as raw:
        Image.fromarray(np.asarray(raw) * 2).save(tiff)
    table.write_text(table.read_text().replace("value", "worth"))
    svg.unlink()
    sorted((place / "b" / "x").glob("*.png"))[0].write_bytes(b"none")
    sorted((place / "b" / "x").glob("*.svg"))[0].write_bytes(b"<svg/>")
    made = run("reproduce", exported)
    assert made.exit_code == 3
    assert f"exports/a/x/{tiff.name}: differs by 0.5 of the largest value" in made.output
    assert f"exports/a/x/{table.name}: it has other rows or columns" in made.output
    assert f"exports/a/x/{svg.name}: there is no file `" in made.output
    assert "exports/rollout.json: numbers differ by 0.5 of the largest value, and categories.name reads" in made.output
    assert f"exports/a/x/{png.name}: differs by " in made.output
    assert ".png` is not a picture of a known format" in made.output
    assert ".svg: its bytes are others" in made.output
    assert "Not reproduced: 30 of 37" in made.output


def test_exports_of_a_run_before_are_left_and_told(run: Run, exported: Path) -> None:
    change(exported / "exports", lambda values: values.update(run="2020-01-01T00:00:00+00:00"))
    made = run("reproduce", exported)
    assert made.exit_code == 0, made.output
    assert "so it is not made again. Run `vitreous explain --export` again" in made.output
    assert "Reproduced: 2 of 2 are the same to the bit." in made.output


@pytest.mark.parametrize("formats", [["none"], [7], "svg", ["../x"], {"svg": 1}])
def test_damaged_manifests_of_exports_are_refused(run: Run, exported: Path, formats: object) -> None:
    change(exported / "exports", lambda values: values.update(formats=formats))
    check_refused(run, exported)


def test_exports_without_their_run_are_refused(run: Run, exported: Path) -> None:
    (exported / "manifest.json").unlink()
    made = run("reproduce", exported / "exports")
    assert made.exit_code == 1
    assert "of no run that can be made again" in made.output
