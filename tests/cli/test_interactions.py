"""`vitreous interactions`: a page and the numbers for every picture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

import vitreous
from tests.cli.conftest import Run
from tests.tiny import BAD, noise
from vitreous.cli.options import find_files
from vitreous.data.pictures import decode_picture, open_picture
from vitreous.interact.indicator import effect, impact
from vitreous.models.loaded import LoadedModel

SAMPLE = find_files(None)[0]


def prepared(model: LoadedModel, file: Path) -> Tensor:
    assert model.preprocess is not None
    return model.preprocess(open_picture(file))[None]


def test_a_page_and_numbers_for_every_picture(run: Run, folder: Path) -> None:
    noise(1).save("one.png")
    noise(2).save("two.png")
    done = run("interactions", "one.png", "two.png", "--model", folder, "--query", "2,3", "--share", "0.25")
    assert done.exit_code == 0, done.output
    assert "Page: interactions/one.png" in done.stdout
    with Image.open("interactions/one.png") as page:
        assert page.width > 1000
    text = Path("interactions/one.html").read_text()
    assert text.count("<figure>") == 10, "the picture, seven of all blocks, and one of each block"
    assert "what patch 2,3 takes; half of it from inside the line" in text
    with np.load("interactions/two.npz") as numbers:
        assert numbers["strength"].shape == numbers["uncertainty"].shape == (2, 16, 16)
        assert numbers["query"].tolist() == [1, 2]
        assert numbers["grid"].tolist() == [4, 4]
        assert numbers["distance"].shape == (16,)
        assert numbers["block_distance"].shape == numbers["block_radius"].shape == (2, 16)
        assert numbers["block_tendency"].shape == (2, 16, 2)
        assert numbers["removed"].sum() == 4
        assert numbers["windows"].shape == (16, 4)
        assert numbers["field"].diagonal().all()
        np.testing.assert_allclose(numbers["indicator"], numbers["strength"].mean(0), rtol=1e-5)
        discriminative = numbers["discriminativeness"]
        assert set(np.flatnonzero(numbers["removed"])) == set(np.argsort(discriminative)[:4])
    manifest = json.loads(Path("interactions/manifest.json").read_text())
    assert manifest["share"] == 0.25
    assert [page["error"] for page in manifest["pictures"]] == ["", ""]


def test_classes_are_named_by_a_file(run: Run, folder: Path) -> None:
    noise(1).save("one.png")
    Path("names.txt").write_text("ant\nbee\ncat\ndog\n")
    done = run("interactions", "one.png", "--model", folder, "--class-names", "names.txt")
    assert done.exit_code == 0, done.output
    text = Path("interactions/one.html").read_text()
    assert any(name in text for name in ("ant", "bee", "cat", "dog"))
    assert json.loads(Path("interactions/manifest.json").read_text())["class_names"] == ["ant", "bee", "cat", "dog"]
    Path("names.txt").write_text("ant\nbee\n")
    done = run("interactions", "one.png", "--model", folder, "--class-names", "names.txt", "--output", "other")
    assert done.exit_code == 1
    assert "there are 2 `class_names` for 4 classes" in done.stderr


@pytest.mark.parametrize("indicator", ["strength", "certainty", "uncertainty", "impact"])
def test_one_block_by_any_indicator(run: Run, folder: Path, indicator: str) -> None:
    done = run("interactions", "--model", folder, "--indicator", indicator, "--block", 1)
    assert done.exit_code == 0, done.output
    assert f"{indicator} in block 1" in Path("interactions/chelsea.html").read_text()
    assert json.loads(Path("interactions/manifest.json").read_text())["block"] == 0
    with np.load("interactions/chelsea.npz") as numbers:
        model = vitreous.load(str(folder))
        expected = {
            "strength": numbers["strength"][0],
            "uncertainty": numbers["uncertainty"][0],
            "certainty": numbers["strength"][0] / (numbers["uncertainty"][0] + 1e-6),
            "impact": impact(model.model, prepared(model, SAMPLE))[0, 0].numpy(),
        }
        np.testing.assert_allclose(numbers["indicator"], expected[indicator], rtol=1e-5)
        np.testing.assert_allclose(numbers["block_indicator"][0], expected[indicator], rtol=1e-5)


def test_impact_of_all_blocks_keeps_signs_until_it_is_summed(run: Run, folder: Path) -> None:
    assert run("interactions", "--model", folder, "--indicator", "impact").exit_code == 0
    model = vitreous.load(str(folder))
    effects = effect(model.model, prepared(model, SAMPLE))[0].numpy()
    with np.load("interactions/chelsea.npz") as numbers:
        np.testing.assert_allclose(numbers["indicator"], np.abs(effects.sum(0)), rtol=1e-4, atol=1e-9)
    last = run("interactions", "--model", folder, "--indicator", "impact", "--block", 2)  # its patches are not read
    assert last.exit_code == 1
    assert "no interaction between patches has an impact" in last.stderr


def test_the_average_of_a_data_set(run: Run, folder: Path) -> None:
    Path("set/some").mkdir(parents=True)
    for seed in range(3):
        noise(seed).save(f"set/some/{seed}.png")
    done = run("interactions", "folder:set", "--model", folder, "--batch-size", 2)
    assert done.exit_code == 0, done.output
    assert "Page: interactions/average.png" in done.stdout
    model = vitreous.load(str(folder))
    whole = vitreous.interactions(model, [noise(seed) for seed in range(3)])
    with np.load("interactions/average.npz") as numbers, Image.open("interactions/average.png") as page:
        assert numbers["pictures"] == 3
        np.testing.assert_allclose(numbers["strength"], whole.strength.mean(0).numpy(), rtol=1e-4)
        assert page.width > 1000
    Path("set/some/3.png").write_bytes(b"no picture")
    done = run("interactions", "folder:set", "--model", folder)
    assert done.exit_code == 1
    assert "3.png" in done.stderr
    assert json.loads(Path("interactions/manifest.json").read_text())["images"] == 3
    assert "has no average" in run("interactions", "folder:set", "--model", folder, "--indicator", "impact").stderr
    assert "Give it alone" in run("interactions", "folder:set", "set/some/0.png", "--model", folder).stderr


def test_a_bad_picture_does_not_stop_the_others(run: Run, folder: Path) -> None:
    BAD["text.jpg"][0](Path("text.jpg"))
    noise(1).save("good.png")
    done = run("interactions", "text.jpg", "good.png", "--model", folder)
    assert done.exit_code == 1
    assert "not a picture of a known format" in done.stderr
    assert Path("interactions/good.png").is_file()


def test_a_picture_without_impact_does_not_stop_the_others(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = iter((0, 1))
    monkeypatch.setattr("vitreous.interacting.pages.effect", lambda model, images: next(shares) * effect(model, images))
    for seed, name in enumerate(("none.png", "some.png")):
        noise(seed).save(name)
    done = run("interactions", "none.png", "some.png", "--model", folder, "--indicator", "impact")
    assert done.exit_code == 1
    assert "Error: `none.png`: no interaction between patches has an impact on the class score. Show" in done.stderr
    assert done.stdout == "Page: interactions/some.png\n"
    assert [bool(page["error"]) for page in json.loads(Path("interactions/manifest.json").read_text())["pictures"]] == [
        True,
        False,
    ]


@pytest.mark.parametrize(("words", "said"), [(("--block", "3"), "no block named"), (("--query", "1,5"), "no patch")])
def test_what_is_not_there_is_said_before_a_data_set_is_read(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    Path("set/some").mkdir(parents=True)
    Path("set/some/0.png").write_bytes(b"no picture")
    for seed in (1, 2, 3):
        noise(seed).save(f"set/some/{seed}.png")
    decoded: list[str] = []
    decode = decode_picture
    monkeypatch.setattr(
        "vitreous.data.readers.folder.decode_picture", lambda *each: decoded.append(each[1]) or decode(*each)
    )
    done = run("interactions", "folder:set", "--model", folder, *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len([name for name in decoded if "0.png" not in name]) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--query", "5,1"), 'no patch named "5,1". Known: 1,1 … 4,4'),
        (("--query", "1,0"), "counted from 1"),
        (("--query", "7"), "is not two whole numbers"),
        (("--block", "3"), 'no block named "3". Known: 1 … 2. Commands and pages count blocks from 1'),
        (("--block", "0"), "'0' is no block: they are counted from 1"),
        (("--block", "-1"), "'-1' is no block"),
        (("--share", "1"), "`share` must be at least 0 and below 1"),
        (("--mass", "0"), "`mass` above 0"),
    ],
)
def test_what_cannot_be_is_said(run: Run, folder: Path, words: tuple[str, ...], said: str) -> None:
    done = run("interactions", "--model", folder, *words)
    assert done.exit_code in (1, 2)
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.output


def test_what_cannot_be_measured_is_said_by_flags(run: Run, folder: Path) -> None:
    strength: list[Any] = []
    for words in ((), ("--grid", "4,4", "--patches", "1:17", "--link", "sigmoid")):
        assert run("interactions", "--model", folder, *words).exit_code == 0
        strength.append(np.load("interactions/chelsea.npz")["strength"])
    assert np.array_equal(*strength)
    said = json.loads(Path("interactions/manifest.json").read_text())["reading"]
    assert (said["grid"], said["patches"], said["link"]) == ([4, 4], "1:17", "sigmoid")
    done = run("interactions", "--model", folder, "--call", "1")
    assert done.exit_code == 2
    assert 'no call named "1". Known: 0.' in done.stderr
