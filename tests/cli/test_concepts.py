"""`vitreous concepts`: the page, the table and the numbers are those of the Python face."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vitreous
from tests.cli.conftest import Run
from tests.tiny import noise, save_pictures
from vitreous.inside.concept_page import ConceptsJob, concept_page
from vitreous.inside.concept_table import ConceptRow, concept_rows, too_few
from vitreous.inside.concepts import Concepts
from vitreous.inside.effects import Effects
from vitreous.render.patch_crop import crop_patch


@pytest.fixture
def pictures(run: Run, tmp_path: Path) -> str:
    del run  # it goes to the folder that is filled here
    (tmp_path / "set").mkdir()
    return save_pictures(tmp_path / "set").replace(str(tmp_path), ".")


@pytest.mark.slow
def test_the_table_and_the_numbers_of_the_python_face(run: Run, folder: Path, pictures: str) -> None:
    done = run(
        *("concepts", pictures, "--class", "hen", "--model", folder, "--count", 2, "--draws", 3, "--output", "out")
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("Page: out/concepts.html\nConcept 1: ")
    assert "Concept 2</h2>" in (html := Path("out/concepts.html").read_text())
    assert "Concept 0" not in html
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert (manifest["job"], manifest["class_name"], manifest["target"]) == ("concepts", "hen", 2)
    names = manifest["pictures"]
    assert sorted(names) == ["hen/1.png", "hen/3.png", "hen/5.png"]
    model = vitreous.load(str(folder))
    files = [str(Path("set", name)) for name in names]
    found = vitreous.concepts(model, files, 2)
    effects = vitreous.concept_effects(model, files, found, 2, draws=3)
    with Path("out/concepts.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    for at, row in enumerate(rows):
        assert int(row["concept"]) == at
        assert float(row["removed"]) == pytest.approx(effects.removed[:, at].mean().item(), abs=1e-5)
        assert float(row["added"]) == pytest.approx(effects.added[:, at].mean().item(), abs=1e-5)
        drawn = effects.removed_by_chance[:, :, at].mean(1)
        assert float(row["random_low"]) == pytest.approx(drawn.min().item(), abs=1e-5)
        assert float(row["random_high"]) == pytest.approx(drawn.max().item(), abs=1e-5)
        assert float(row["chance"]) == pytest.approx(effects.chance[at].item())
        assert row["verdict"] in Path("out/concepts.html").read_text()
    with np.load("out/concepts.npz") as numbers:
        np.testing.assert_allclose(numbers["maps"], found.maps, atol=1e-5)
        np.testing.assert_allclose(numbers["removed"], effects.removed, atol=1e-5)
    again = ("concepts", pictures, "--class", "dog", "--model", folder, "--count", 1, "--draws", 1, "--output", "out")
    assert run(*again).exit_code == 0


def verdicts(draws: int) -> list[ConceptRow]:
    """Of three concepts, of which the last is beaten by one of so many random directions."""
    removed = torch.tensor([[-3.0, 3.0, -1.0]])
    drawn = torch.tensor([[1.0, -2.0, 0.5]]).repeat(draws, 1, 1)
    drawn[0] = torch.tensor([-2.0, 1.0, 2.0])
    effects = Effects(removed, removed, drawn, drawn, torch.zeros(1))
    return concept_rows(FOUND, effects)


FOUND = Concepts(torch.ones(1, 3, 2, 2), torch.eye(3), torch.zeros(3), 1.0, "layer")


def test_verdicts_say_what_was_counted() -> None:
    rests, against, chance = verdicts(19)
    assert (rests.random_low, rests.random_high) == (-2.0, 1.0)
    assert rests.verdict.startswith("The class rests on it: without it the score falls by 3, farther than without any")
    assert against.verdict.startswith("It speaks against the class: without it the score rises by 3")
    assert "No more than chance" in chance.verdict
    assert "1 of 19 random directions" in chance.verdict
    assert concept_rows(FOUND, None)[0] == ConceptRow(0, pytest.approx(1 / 3))


@pytest.mark.parametrize("draws", [1, 3, 18, 19, 38, 39])
def test_a_verdict_is_given_where_chance_does_as_much_once_in_twenty_times(draws: int) -> None:
    rows = verdicts(draws)
    for row in rows:
        assert row.chance is not None
        sure, kind = row.chance <= 0.05 + 1e-6, row.verdict.partition(":")[0]
        wanted = "The class rests on it", "It speaks against the class"
        assert (kind in wanted) is sure
        assert (kind == "No verdict") is (draws < 19)
    assert bool(too_few(draws)) is (draws < 19)


@pytest.mark.slow
def test_the_page_and_the_terminal_say_why_there_is_no_verdict(run: Run, folder: Path, pictures: str) -> None:
    flags = ("--class", "hen", "--model", folder, "--count", 1)
    done = run("concepts", pictures, *flags, "--draws", 18, "--output", "few")
    assert done.exit_code == 0, done.output
    why = "by chance a concept beats all of 18 random directions once in 19 times, and a verdict wants p ≤ 0.05."
    assert f"No verdicts: {why} Ask for 19 random directions or more." in done.stdout
    assert f"No verdicts: {why}" in Path("few/concepts.html").read_text()
    assert "No verdict: " in Path("few/concepts.csv").read_text()
    done = run("concepts", pictures, *flags, "--output", "enough")
    assert "No verdicts" not in done.stdout
    assert "By luck alone, 0.048 of 1 concepts would get a verdict." in Path("enough/concepts.html").read_text()


def test_a_folder_without_classes_and_what_cannot_be_read(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for seed in range(3):
        noise(seed).save(tmp_path / "in" / "deep" / f"{seed}.png")
    (tmp_path / "in" / "bad.png").write_text("not a picture")
    done = run("concepts", "in", "--class", "dog", "--model", folder, "--count", 1, "--draws", 1)
    assert done.exit_code == 1
    assert "bad.png" in done.stderr
    manifest = json.loads(Path("concepts/manifest.json").read_text())
    assert sorted(manifest["pictures"]) == ["deep/0.png", "deep/1.png", "deep/2.png"]
    assert list(manifest["unread"]) == ["bad.png"]
    html = Path("concepts/concepts.html").read_text()
    assert "bad.png" in html
    assert "3 from in, taken for pictures of dog: no classes come with them" in html


def test_a_model_without_a_classifier_has_concepts_and_no_verdicts(folder: Path, tmp_path: Path) -> None:
    noise(1).save(tmp_path / "one.png")
    model = vitreous.load(str(folder))
    model.model.reset_classifier(0)  # type: ignore[attr-defined]
    job = ConceptsJob(replace(model, class_names=()), str(tmp_path), count=2, draws=1, output=tmp_path / "out")
    done = concept_page(job)
    assert done.lacking
    assert [row.verdict for row in done.rows] == ["", ""]
    assert done.lacking.split("`")[2] in done.page.read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--class", "horse"), 'no class named "horse"'),
        (("--class", "tabby"), "has no picture of `tabby`"),
        (("--layer", "nope"), "no layer named"),
        (("--count", "99"), "at most"),
    ],
)
def test_what_is_not_there_is_refused(run: Run, folder: Path, pictures: str, words: tuple[str, ...], said: str) -> None:
    done = run("concepts", pictures, "--model", folder, "--draws", 1, *words)
    assert done.exit_code in (1, 2)
    assert said in done.stderr
    assert not Path("concepts/concepts.html").exists()


def test_a_class_that_is_not_there_claims_no_folder(run: Run, folder: Path, pictures: str) -> None:
    assert run("concepts", pictures, "--class", "horse", "--model", folder, "--output", "out").exit_code == 2
    assert not Path("out/manifest.json").exists()


def test_classes_that_the_model_does_not_know_are_no_guess(run: Run, folder: Path, tmp_path: Path) -> None:
    for name in ("red", "blue", "green"):
        (tmp_path / "set" / name).mkdir(parents=True)
        noise(1).save(tmp_path / "set" / name / "1.png")
    done = run("concepts", "folder:set", "--class", "dog", "--model", folder)
    assert done.exit_code == 1
    assert "Give a folder that holds these alone" in done.stderr


@pytest.mark.parametrize(("patch", "size"), [((1, 2), (90, 90)), ((0, 0), (90, 90)), ((3, 0), (90, 90))])
def test_a_patch_is_cut_out_with_its_neighbors(patch: tuple[int, int], size: tuple[int, int]) -> None:
    picture = Image.new("RGB", (40, 40), "black")
    row, column = patch
    picture.paste("red", (10 * column, 10 * row, 10 * column + 10, 10 * row + 10))
    crop = crop_patch(picture, (4, 4), patch, 90)
    assert crop.size == size
    rows, columns = min(row, 1), min(column, 1)  # neighbors above and to the left
    side = 90 // (1 + rows + (row < 3)), 90 // (1 + columns + (column < 3))
    middle = (columns * side[1] + side[1] // 2, rows * side[0] + side[0] // 2)
    assert crop.getpixel(middle) == (255, 0, 0)
