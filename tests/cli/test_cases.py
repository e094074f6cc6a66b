"""`vitreous cases`: the index is that of the Python face, and `vitreous inside --cases` takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vitreous
from tests.cli.conftest import Run
from tests.tiny import noise, save_pictures
from vitreous.inside.case_index import Index, open_index


@pytest.fixture
def pictures(run: Run, tmp_path: Path) -> str:
    """A data set with classes, in the folder that commands run in."""
    del run
    (tmp_path / "set").mkdir()
    return save_pictures(tmp_path / "set").replace(str(tmp_path), ".")


def same(one: Index, other: Index) -> bool:
    pairs = [*zip(one.chunks(), other.chunks(), strict=True)]
    return (one.about, one.names, one.labels) == (other.about, other.names, other.labels) and all(
        np.array_equal(a.whole, b.whole) and np.array_equal(a.patches, b.patches) for a, b in pairs
    )


@pytest.mark.parametrize("whole", ["mean", "class"])
def test_the_index_is_that_of_the_python_face(run: Run, folder: Path, pictures: str, whole: str) -> None:
    flags = ("--whole", whole, "--limit", 4, "--seed", 3, "--batch-size", 3, "--output", "deep/cases.parquet")
    done = run("cases", pictures, "--model", folder, *flags)
    assert done.exit_code == 0, done.output
    found = open_index("deep/cases.parquet")
    assert done.stdout.endswith(f"4 pictures by {found.about.layer}: deep/cases.parquet\n")
    how = {"whole": whole, "limit": 4, "seed": 3, "batch_size": 3}
    vitreous.build_cases(vitreous.load(str(folder)), pictures, "own.parquet", **how)  # type: ignore[arg-type]
    assert same(found, open_index("own.parquet"))
    assert {name: found.run[name] for name in ("job", "place", *how)} == {"job": "cases", "place": pictures, **how}
    assert found.about.whole == whole


def test_another_layer_and_the_sheet_that_shows_cases(run: Run, folder: Path, pictures: str) -> None:
    assert run("cases", pictures, "--model", folder, "--layer", "blocks.0").exit_code == 0
    assert open_index("cases.parquet").about.layer == "blocks.0"
    noise(3).save("one.png")
    done = run("inside", "one.png", "--model", folder, "--cases", "cases.parquet", "--output", "beside")
    assert done.exit_code == 0, done.output
    assert Path("beside/one.png").is_file()


def test_pictures_that_cannot_be_read_are_told_and_the_others_indexed(run: Run, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bad.png").write_text("not a picture")
    noise(1).save(tmp_path / "in" / "good.png")
    done = run("cases", "in", "--model", folder)
    assert done.exit_code == 1
    assert "bad.png" in done.stderr
    assert list(open_index("cases.parquet").names) == ["good.png"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--layer", "nope"), "no layer named"),
        (("--whole", "max"), "'max' is not one of"),
        (("--limit", "-1"), "--limit"),
        (("--output", "own.parquet"), "own.parquet"),
    ],
)
def test_what_is_not_there_is_refused_and_no_file_written(
    run: Run, folder: Path, pictures: str, words: tuple[str, ...], said: str
) -> None:
    Path("own.parquet").write_text("my own")
    done = run("cases", pictures, "--model", folder, *words)
    assert done.exit_code in (1, 2)
    assert said in done.output
    assert not Path("cases.parquet").exists()
    assert Path("own.parquet").read_text() == "my own"


def test_a_folder_that_is_not_there_is_told(run: Run, folder: Path) -> None:
    done = run("cases", "nowhere", "--model", folder)
    assert done.exit_code == 1
    assert "nowhere" in done.stderr
    assert not Path("cases.parquet").exists()
