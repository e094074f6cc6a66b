"""`vitreous reproduce` of the commands that look inside: the same again, or how far off, and what is others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.conftest import Run
from tests.cli.spoiled import change, check_refused
from tests.tiny import noise
from vitreous.inside.case_index import open_index, writing


@pytest.fixture
def pictures(run: Run, tmp_path: Path) -> str:
    """A folder of pictures in that which the commands run in."""
    del run  # it goes there
    (tmp_path / "in").mkdir()
    for seed in range(5):
        noise(seed).save(tmp_path / "in" / f"{seed}.png")
    return "in"


@pytest.mark.slow
def test_sheets_with_a_second_model_and_cases(run: Run, folder: Path, pooling: Path, pictures: str) -> None:
    assert run("cases", pictures, "--model", folder, "--output", "cases.parquet").exit_code == 0
    flags = ("--model", folder, "--model", pooling, "--patch", "2,1", "--cases", "cases.parquet")
    made = run("inside", "in/1.png", "in/2.png", *flags, "--output", "out")
    assert made.exit_code == 0, made.output
    made = run("reproduce", "out")
    assert made.exit_code == 0, made.output
    assert "Reproduced: 2 of 2 are the same to the bit." in made.output
    change(Path("out"), lambda values: values.update(layer="blocks.0"))
    made = run("reproduce", "out", "--output", "other")
    assert made.exit_code == 3
    assert "1.png: differs by " in made.output
    Path("cases.parquet").write_bytes(b"another")
    made = run("reproduce", "out", "--output", "third")
    assert made.exit_code == 1
    assert "is not the `cases` of the manifest. Put back the file that it was." in made.output


@pytest.mark.slow
def test_concepts_by_the_class_names_that_were_given(run: Run, folder: Path, pictures: str, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("a\nb\nc\nd\n")
    flags = ("--model", folder, "--class", "c", "--class-names", "names.txt", "--count", 2, "--draws", 2)
    made = run("concepts", pictures, *flags, "--output", "out")
    assert made.exit_code == 0, made.output
    made = run("reproduce", "out")
    assert made.exit_code == 0, made.output
    assert "concepts.csv: the same to the bit\nconcepts.npz: the same to the bit\nexplained: the same" in made.output
    change(Path("out"), lambda values: values.update(seed=1))
    made = run("reproduce", "out", "--output", "other")
    assert made.exit_code == 3
    assert "of the largest value, and verdict reads otherwise\nconcepts.npz: differs by " in made.output
    Path("out", "concepts.csv").write_text("concept,share\n1\n")
    made = run("reproduce", "out", "--output", "third")
    assert "concepts.csv: `out/concepts.csv` is no table" in made.output
    noise(7).save(tmp_path / "in" / "more.png")
    made = run("reproduce", "out", "--output", "fourth")
    assert made.exit_code == 1
    assert "`in` has other pictures than those of the manifest. Put back those that it had." in made.output


def test_an_autoencoder(run: Run, folder: Path, pictures: str) -> None:
    sizes = ("--features", 9, "--k", 3, "--steps", 4)
    assert run("autoencoder", pictures, "--model", folder, *sizes, "--output", "out").exit_code == 0
    made = run("reproduce", "out")
    assert made.exit_code == 0, made.output
    assert "autoencoder.safetensors: the same to the bit" in made.output
    assert "recovered_mean: the same to the bit" in made.output
    change(Path("out"), lambda values: values.update(explained=2 * values["explained"], loss=None))
    made = run("reproduce", "out", "--output", "other")
    assert made.exit_code == 3
    assert "explained: differs by 0.5 of the largest value" in made.output
    assert "loss: it was None, and is 0." in made.output


def test_an_index_of_cases(run: Run, folder: Path, pictures: str, tmp_path: Path) -> None:
    assert run("cases", pictures, "--model", folder, "--limit", 4, "--output", "cases.parquet").exit_code == 0
    made = run("reproduce", "cases.parquet")
    assert made.exit_code == 0, made.output
    assert "whole: the same to the bit\npatches: the same to the bit" in made.output
    for seed in range(5):
        noise(seed + 9).save(tmp_path / "in" / f"{seed}.png")
    made = run("reproduce", "cases.parquet", "--output", "other")
    assert made.exit_code == 3
    assert "patches: differs by " in made.output
    about = open_index("cases.parquet").about
    with writing(tmp_path / "old.parquet", about, {}) as write:
        zeros = {"whole": np.zeros((1, about.channels)), "patches": np.zeros((1, about.numbers))}
        half = {name: each.astype(np.float16) for name, each in zeros.items()}
        write({"picture": ["a"], "label": [None], "shown": [b""], **half})
    made = run("reproduce", "old.parquet", "--output", "third")
    assert made.exit_code == 1
    assert "`old.parquet` is of no run that can be made again" in made.output


@pytest.mark.parametrize("made_by", ["concepts", "autoencoder"])
def test_data_that_own_code_reads_is_named_again(run: Run, folder: Path, pictures: str, made_by: str) -> None:
    few = ("--count", 1, "--draws", 1) if made_by == "concepts" else ("--features", 9, "--k", 3, "--steps", 1)
    assert run(made_by, pictures, "--model", folder, *few, "--output", "out").exit_code == 0
    change(Path("out"), lambda values: values.update(place="tests.cli.ran:Ran:x"))
    made = run("reproduce", "out")
    assert made.exit_code == 1
    assert "Say --dataset tests.cli.ran:Ran:x if you trust that code." in made.output
    assert run("reproduce", "out", "--dataset", pictures, "--output", "again").exit_code == 0


def test_an_evaluation(run: Run, folder: Path, tmp_path: Path) -> None:
    for seed, name in enumerate(("cat", "dog", "hen", "owl")):
        (tmp_path / "data" / "test" / name).mkdir(parents=True)
        noise(seed).save(tmp_path / "data" / "test" / name / "1.png")
    (tmp_path / "names.txt").write_text("cat\ndog\nhen\nowl\n")
    made = run("evaluate", "data", "--model", folder, "--class-names", "names.txt", "--device", "cpu")
    assert made.exit_code == 0, made.output
    made = run("reproduce", "evaluation.json")
    assert made.exit_code == 0, made.output
    assert "top1: the same to the bit" in made.output
    assert "confusions: the same to the bit" in made.output
    values = json.loads(Path("evaluation.json").read_text())
    Path("changed.json").write_text(json.dumps(values | {"calibration_error": 10.0}))
    made = run("reproduce", "changed.json", "--output", "other")
    assert made.exit_code == 3
    assert "calibration error: differs by" in made.output
    noise(9).save(tmp_path / "data" / "test" / "owl" / "1.png", compress_level=0)
    made = run("reproduce", "evaluation.json", "--output", "third")
    assert made.exit_code == 1
    assert "`data` is not what it was" in made.output


@pytest.mark.parametrize(
    "spoil",
    [
        {"data": 3},
        {"scores": [1]},
        {"scores": {"top1": 3}},
        {"confusion": [[10**400]]},
        {"class_names": "cat"},
        {"split": None},
        {"job": ["evaluate"]},
    ],
)
def test_damaged_results_are_refused(run: Run, folder: Path, tmp_path: Path, spoil: dict[str, object]) -> None:
    for name in ("class 0", "class 1", "class 2", "class 3"):
        (tmp_path / "data" / "test" / name).mkdir(parents=True)
        noise(1).save(tmp_path / "data" / "test" / name / "1.png")
    made = run("evaluate", "data", "--model", folder, "--class-names", names_in(tmp_path), "--device", "cpu")
    assert made.exit_code == 0, made.output
    Path("bad.json").write_text(json.dumps(json.loads(Path("evaluation.json").read_text()) | spoil))
    assert check_refused(run, "bad.json").exit_code == 1


def names_in(place: Path) -> Path:
    """A file of class names."""
    file = place / "names.txt"
    file.write_text("".join(f"class {at}\n" for at in range(4)))
    return file
