"""`vitreous inside`: a sheet and the numbers for every picture."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
from PIL import Image

import vitreous
from tests.cli.conftest import Run
from tests.tiny import PICTURES, noise, save_pictures
from vitreous.inside import sheets
from vitreous.inside.sheets import InsideJob, inside_sheets
from vitreous.models.preprocess import Preprocess
from vitreous.models.zoo import describe
from vitreous.render.sheet import Panel


def test_a_sheet_and_the_numbers_of_the_python_face(run: Run, folder: Path) -> None:
    noise(1).save("one.png")
    done = run(
        "inside", "one.png", "--model", folder, "--of", "keys", "--patch", "2,3", "--foreground", "--output", "out"
    )
    assert done.exit_code == 0, done.output
    assert done.stdout == "Sheet: out/one.png\n"
    with Image.open("out/one.png") as page:
        assert page.width > 1000
    model = vitreous.load(str(folder))
    alike, odd = vitreous.similarity(model, "one.png", of="keys"), vitreous.artifacts(model, "one.png")
    heads, lens = vitreous.heads(model, "one.png"), vitreous.logit_lens(model, "one.png")
    colors = vitreous.components(model, "one.png", of="keys", foreground=True)
    with np.load("out/one.npz") as numbers:
        assert numbers["patch"].tolist() == [1, 2], "from 0, as programs count"
        np.testing.assert_allclose(numbers["similarity"], alike.values, atol=1e-6)
        np.testing.assert_allclose(numbers["components"], colors.values[0], atol=1e-6)
        np.testing.assert_allclose(numbers["share"], colors.share)
        np.testing.assert_array_equal(numbers["foreground"], colors.foreground[0])
        np.testing.assert_allclose(numbers["norms"], odd.norms[0], rtol=1e-6)
        np.testing.assert_array_equal(numbers["outliers"], odd.outliers[0])
        np.testing.assert_allclose(numbers["distance"], heads.distance[0], rtol=1e-5)
        np.testing.assert_allclose(numbers["entropy"], heads.entropy[0], rtol=1e-5)
        np.testing.assert_allclose(numbers["cka"], vitreous.cka(model, "one.png").values, atol=1e-5)
        np.testing.assert_allclose(numbers["lens"], lens.probabilities[0], rtol=1e-4)
        np.testing.assert_allclose(numbers["lens_maps"], lens.maps[0], rtol=1e-4)  # type: ignore[index]
        assert numbers["patch"].tolist() == [1, 2]
        assert numbers["grid"].tolist() == [4, 4]
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert (manifest["job"], manifest["of"], manifest["pictures"][0]["page"]) == ("inside", "keys", "one.png")


def test_a_model_without_blocks_has_a_sheet_without_norms(tmp_path: Path) -> None:
    noise(1).save(tmp_path / "one.png")
    cnn = timm.create_model("resnet10t", num_classes=3).eval()
    model = replace(describe(cnn), preprocess=Preprocess((64, 64), (64, 64)))
    (done,) = inside_sheets(InsideJob(model, output=tmp_path / "out"), [tmp_path / "one.png"])
    assert not done.error
    assert len(done.lacking) == 1
    assert "without any attention" in done.lacking[0]
    (again,) = inside_sheets(InsideJob(model, output=tmp_path / "out"), [tmp_path / "one.png"])
    assert again == done
    with np.load(tmp_path / "out" / "one.npz") as numbers:
        assert numbers["similarity"].shape == (4, 4)
        assert "norms" not in numbers


def test_a_picture_that_is_none_does_not_stop_the_others(run: Run, folder: Path) -> None:
    Path("text.jpg").write_text("not a picture")
    noise(1).save("good.png")
    done = run("inside", "text.jpg", "good.png", "--model", folder)
    assert done.exit_code == 1
    assert "text.jpg" in done.stderr
    assert done.stdout == "Sheet: inside/good.png\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--patch", "5,1"), 'no patch named "5,1". Known: 1,1 … 4,4'),
        (("--patch", "0,1"), "counted from 1"),
        (("--layer", "nope"), "no layer named"),
        (("--of", "keys", "--layer", "blocks.0.mlp"), "no attention named"),
        (("--times", "1"), "above 1"),
    ],
)
def test_what_is_not_there_is_refused(run: Run, folder: Path, words: tuple[str, ...], said: str) -> None:
    done = run("inside", "--model", folder, *words)
    assert done.exit_code in (1, 2)
    assert said in done.stderr
    assert not list(Path("inside").glob("*.png"))


def test_the_most_alike_of_an_index_are_on_the_sheet(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    spec = save_pictures(tmp_path / "set")
    noise(9).save("one.png")
    assert run("inside", "one.png", "--model", folder, "--output", "plain").exit_code == 0
    done = run("cases", spec, "--model", folder, "--output", "cases.parquet")
    assert (done.exit_code, done.stdout.lstrip()) == (0, f"{PICTURES} pictures by blocks.1.norm1: cases.parquet\n")
    asked = ("inside", "one.png", "--model", folder, "--patch", "2,3", "--cases", "cases.parquet")
    assert run(*asked).exit_code == 0
    found = vitreous.find_cases(vitreous.load(str(folder)), "one.png", "cases.parquet", 3)
    with np.load("inside/one.npz") as numbers:
        assert numbers["cases"].tolist() == [case.name for case in found.whole]
        np.testing.assert_allclose(numbers["cases_cosine"], [case.cosine for case in found.whole], atol=1e-6)
        assert numbers["patch_cases"][1, 2].tolist() == [case.name for case in found.to(1, 2)]
        np.testing.assert_allclose(numbers["patch_cosine"], found.cosines, atol=1e-6)
    with Image.open("inside/one.png") as page, Image.open("plain/one.png") as before:
        assert page.height > before.height
    written = Path("inside/one.npz").stat().st_mtime_ns
    run(*asked)
    assert Path("inside/one.npz").stat().st_mtime_ns == written
    run("cases", spec, "--model", folder, "--limit", "3", "--output", "cases.parquet")
    run(*asked)
    assert Path("inside/one.npz").stat().st_mtime_ns > written


def test_an_index_that_is_none_stops_all(run: Run, folder: Path) -> None:
    noise(9).save("one.png")
    Path("cases.parquet").write_text("mine")
    done = run("inside", "one.png", "--model", folder, "--cases", "cases.parquet")
    assert done.exit_code == 1
    assert "cases.parquet` cannot be read" in done.stderr
    assert not Path("inside/one.png").exists()
    done = run("cases", "one.png", "--model", folder, "--output", "cases.parquet")
    assert done.exit_code == 1
    assert Path("cases.parquet").read_text() == "mine"


def test_artifacts_are_framed_on_the_attention_that_they_spoil(run: Run, folder: Path) -> None:
    noise(1).save("one.png")
    done = run("inside", "one.png", "--model", folder, "--times", "1.2")
    assert done.exit_code == 0, done.output
    effects = vitreous.artifact_effects(vitreous.load(str(folder)), "one.png", times=1.2)
    assert effects.hidden.any()
    with np.load("inside/one.npz") as numbers:
        np.testing.assert_allclose(numbers["attention"], effects.maps[0], atol=1e-6)
        np.testing.assert_allclose(numbers["attention_without"], effects.maps_without[0], atol=1e-6)
        np.testing.assert_array_equal(numbers["hidden"], effects.hidden[0])
        assert numbers["moved"] == pytest.approx(effects.moved[0].item(), abs=1e-5)
    run("inside", "one.png", "--model", folder, "--times", "9", "--output", "none")
    with np.load("none/one.npz") as numbers:
        assert "attention" not in numbers


def test_blocks_of_two_models_are_compared(run: Run, folder: Path, pooling: Path) -> None:
    noise(1).save("one.png")
    done = run("inside", "one.png", "--model", folder, "--model", pooling)
    assert done.exit_code == 0, done.output
    kin = vitreous.cka(vitreous.load(str(folder)), "one.png", vitreous.load(str(pooling)))
    with np.load("inside/one.npz") as numbers:
        np.testing.assert_allclose(numbers["cka"], kin.values, atol=1e-5)
    assert json.loads(Path("inside/manifest.json").read_text())["other"]["model"] == str(pooling)
    done = run("inside", "one.png", "--model", folder, "--model", "default", "--output", "grids")
    assert done.exit_code == 0
    assert "Lacking: `VisionTransformer` has 4×4 patches and `VisionTransformer` 8×8" in done.stdout
    for words in (("--model", pooling, "--model", "default"), ("--model", pooling, "--checkpoint", "x.pth")):
        assert run("inside", "one.png", "--model", folder, *words).exit_code == 2


def test_the_sheet_counts_blocks_from_1(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []
    drawn = sheets.sheet

    def watched(panels: list[Panel], **words: Any) -> Image.Image:
        titles.extend(panel.title for panel in panels)
        return drawn(panels, **words)

    monkeypatch.setattr(sheets, "sheet", watched)
    noise(1).save("one.png")
    assert run("inside", "one.png", "--model", folder).exit_code == 0
    assert [each for each in titles if each.startswith("norms")] == ["norms after block 1", "norms after block 2"]
    assert [each for each in titles if each.startswith("if")] == [f"if block {at} were the last" for at in (1, 2)]
