"""`vitreous interactions`: a page and the numbers for every picture."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Run
from tests.tiny import BAD, noise


def test_a_page_and_numbers_for_every_picture(run: Run, folder: Path) -> None:
    noise(1).save("one.png")
    noise(2).save("two.png")
    done = run("interactions", "one.png", "two.png", "--model", folder, "--query", "1,2", "--share", "0.25")
    assert done.exit_code == 0, done.output
    assert "Page: interactions/one.png" in done.stdout
    with Image.open("interactions/one.png") as page:
        assert page.width > 1000
    with np.load("interactions/two.npz") as numbers:
        assert numbers["strength"].shape == numbers["uncertainty"].shape == (2, 16, 16)
        assert numbers["query"].tolist() == [1, 2]
        assert numbers["grid"].tolist() == [4, 4]
        assert numbers["distance"].shape == (2, 16)
        assert numbers["removed"].sum() == 4
        assert numbers["windows"].shape == (16, 4)
        assert numbers["field"].diagonal().all()
        np.testing.assert_allclose(numbers["indicator"], numbers["strength"].mean(0), rtol=1e-5)
        discriminative = numbers["discriminativeness"]
        assert set(np.flatnonzero(numbers["removed"])) == set(np.argsort(discriminative)[:4])
    manifest = json.loads(Path("interactions/manifest.json").read_text())
    assert manifest["share"] == 0.25
    assert [page["error"] for page in manifest["pictures"]] == ["", ""]


@pytest.mark.parametrize("indicator", ["strength", "certainty", "uncertainty"])
def test_one_block_by_any_indicator(run: Run, folder: Path, indicator: str) -> None:
    done = run("interactions", "--model", folder, "--indicator", indicator, "--block", 1)
    assert done.exit_code == 0, done.output
    with np.load("interactions/chelsea.npz") as numbers:
        expected = {
            "strength": numbers["strength"][1],
            "uncertainty": numbers["uncertainty"][1],
            "certainty": numbers["strength"][1] / (numbers["uncertainty"][1] + 1e-6),
        }
        np.testing.assert_allclose(numbers["indicator"], expected[indicator], rtol=1e-5)


def test_a_bad_picture_does_not_stop_the_others(run: Run, folder: Path) -> None:
    BAD["text.jpg"][0](Path("text.jpg"))
    noise(1).save("good.png")
    done = run("interactions", "text.jpg", "good.png", "--model", folder)
    assert done.exit_code == 1
    assert "not a picture of a known format" in done.stderr
    assert Path("interactions/good.png").is_file()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--query", "7,0"), 'no patch named "7,0"'),
        (("--query", "7"), "is not two whole numbers"),
        (("--block", "2"), 'no block named "2"'),
        (("--share", "1"), "`share` must be at least 0 and below 1"),
        (("--mass", "0"), "`mass` above 0"),
    ],
)
def test_what_cannot_be_is_said(run: Run, folder: Path, words: tuple[str, ...], said: str) -> None:
    done = run("interactions", "--model", folder, *words)
    assert done.exit_code in (1, 2)
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.output
