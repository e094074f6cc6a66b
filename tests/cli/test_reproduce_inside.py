"""`vitreous reproduce` of the commands that look inside: the same again, or how far off, and what is others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.test_reproduce import change
from tests.tiny import noise


@pytest.fixture
def pictures(run: Run, tmp_path: Path) -> str:
    """A folder of pictures in that which the commands run in."""
    del run  # it goes there
    (tmp_path / "in").mkdir()
    for seed in range(5):
        noise(seed).save(tmp_path / "in" / f"{seed}.png")
    return "in"


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
    assert "is not the index of the manifest. Put back the file that it was." in made.output
