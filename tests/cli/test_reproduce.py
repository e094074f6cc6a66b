"""`vitreous reproduce`: the same again to the bit, or how far off; a manifest is data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.spoiled import change, check_refused
from tests.tiny import noise
from tests.training.test_classify import RECIPE, dark_and_light
from vitreous.files.manifest import MANIFEST


@pytest.fixture
def explained(run: Run, folder: Path, tmp_path: Path) -> Path:
    """The outputs of a run over two pictures."""
    (tmp_path / "in").mkdir()
    for seed in (1, 2):
        noise(seed).save(tmp_path / "in" / f"{seed}.png")
    (tmp_path / "names.txt").write_text("a\nb\nc\nd\n")
    named = ("--class-names", "names.txt", "--target", "c")
    made = run("explain", "in", "--model", folder, "--method", "rollout,occlusion", "--output", "out", *named)
    assert made.exit_code == 0, made.output
    return tmp_path / "out"


def test_maps_are_the_same_to_the_bit(run: Run, explained: Path) -> None:
    before = {file: file.read_bytes() for file in explained.iterdir()}
    made = run("reproduce", explained / MANIFEST)
    assert made.exit_code == 0, made.output
    assert "Reproduced: 2 of 2 are the same to the bit." in made.output
    assert {file: file.read_bytes() for file in explained.iterdir()} == before


def test_other_maps_are_told(run: Run, explained: Path) -> None:
    change(explained, lambda values: values["methods"]["rollout"]["settings"].update(start_layer=1))
    change(explained, lambda values: values["versions"].update(torch="1.0"))
    made = run("reproduce", explained)
    assert made.exit_code == 3
    assert "1.png: differs by 0." in made.output
    assert "Not reproduced: 0 of 2" in made.output
    assert "another version: torch 1.0, now" in made.output


def test_what_is_gone_is_told(run: Run, explained: Path, tmp_path: Path) -> None:
    (tmp_path / "in" / "2.png").unlink()
    made = run("reproduce", explained)
    assert made.exit_code == 1
    assert "1 of 2 pictures are gone" in made.output
    assert not (tmp_path / "reproduced").exists()


def test_other_weights_are_told(run: Run, explained: Path) -> None:
    change(explained, lambda values: values.update(weights_sha256="0" * 64))
    made = run("reproduce", explained)
    assert made.exit_code == 1
    assert "are not those of the manifest" in made.output


def test_interactions(run: Run, folder: Path, tmp_path: Path) -> None:
    noise(1).save(tmp_path / "1.png")
    assert run("interactions", "1.png", "--model", folder, "--output", "out").exit_code == 0
    made = run("reproduce", "out")
    assert made.exit_code == 0, made.output


def test_a_benchmark(run: Run, folder: Path, dataset: str) -> None:
    flags = ("--method", "rollout", "--metric", "pointing", "--limit", 2, "--output", "out")
    made = run("benchmark", dataset, "--model", folder, *flags)
    assert made.exit_code == 0, made.output
    made = run("reproduce", "out")
    assert made.exit_code == 0, made.output
    made = run("reproduce", "out", "--dataset", "folder:nowhere", "--output", "other")
    assert made.exit_code == 1
    change(Path("out"), lambda values: values["plan"]["methods"].update(rollout={"use": "tests.cli.ran:Ran"}))
    made = run("reproduce", "out", "--output", "third")
    assert made.exit_code == 1
    assert "Say --use tests.cli.ran:Ran if you trust that code." in made.output


@pytest.mark.slow
def test_averages_and_checks(run: Run, folder: Path, dataset: str) -> None:
    place, flags = dataset.partition(":")[2], ("--model", folder, "--limit", 2)
    assert run("interactions", dataset, *flags, "--output", "average").exit_code == 0
    checks = {"indicators": ("--pairs", 3), "removal": ("--shares", "0.5", "--place", "1")}
    for check, more in checks.items():
        made = run("verify", check, dataset, *flags, *more, "--output", check)
        assert made.exit_code == 0, made.output
    for name in ("average", *checks):
        made = run("reproduce", name, "--output", f"{name}-again")
        assert made.exit_code == 0, made.output
        made = run("reproduce", name, "--dataset", f"table:{place}/boxes.csv", "--output", f"{name}-other")
        assert made.exit_code == 1
        change(Path(name), lambda values: values.get("trial", values).update(dataset="tests.cli.ran:Ran:x"))
        made = run("reproduce", name, "--output", f"{name}-own")
        assert made.exit_code == 1
        assert "Say --dataset tests.cli.ran:Ran:x if you trust that code." in made.output


def test_a_training_is_made_again_by_its_command(run: Run, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(replace(RECIPE, epochs=1).to_toml(), encoding="utf-8")
    flags = ("--data", dark_and_light(tmp_path / "set.npz"), "--device", "cpu")
    assert run("train", "r.toml", *flags, "--seed", 3, "--output", "out").exit_code == 0
    made = run("reproduce", "out")
    assert made.exit_code == 1
    assert "Run vitreous train out/recipe.toml --data DATA --output FOLDER" in made.output
    assert run("train", "out/recipe.toml", *flags, "--output", "again").exit_code == 0
    weights = [(tmp_path / place / "model.safetensors").read_bytes() for place in ("out", "again")]
    assert weights[0] == weights[1]


def test_code_runs_only_where_it_is_named_again(run: Run, folder: Path, tmp_path: Path) -> None:
    noise(1).save(tmp_path / "1.png")
    own = "vitreous.methods.rollout:Rollout"
    assert run("explain", "1.png", "--model", folder, "--method", own, "--output", "out").exit_code == 0
    made = run("reproduce", "out")
    assert made.exit_code == 1
    assert f"a file names no code to run. Say --use {own}" in made.output
    assert run("reproduce", "out", "--use", own).exit_code == 0


@pytest.mark.parametrize(
    "spoil",
    [
        lambda values: values.update(job="train"),
        lambda values: values.update(job="evaluate"),
        lambda values: values.update(dtype=7),
        lambda values: values.update(model=["x"]),
        lambda values: values.pop("methods"),
        lambda values: values.update(methods={"rollout": 3}),
        lambda values: values.update(files={"../1": "/etc/passwd"}),
        lambda values: values.update(files=[]),
        lambda values: values.update(window={"a": 1}),
        lambda values: values.update(versions=None),
        lambda values: values.update(versions={"torch": {"of": 1}}),
        lambda values: values.update(batch_size=-3),
        lambda values: values.update(class_names=["one alone"]),
        lambda values: values["methods"]["rollout"]["settings"].update(start_layer=77),
        lambda values: values.update(device="gpu 7"),
        lambda values: values.update(methods={"subprocess:Popen": {"settings": {"args": "true"}}}),
    ],
)
def test_damaged_manifests_are_refused(run: Run, explained: Path, spoil: Callable[[dict[str, Any]], object]) -> None:
    change(explained, spoil)
    check_refused(run, explained)


def test_only_a_new_folder_is_taken(run: Run, explained: Path) -> None:
    made = run("reproduce", explained, "--output", "in")
    assert made.exit_code == 1
    assert "is not empty. Give a new folder with --output" in made.output
    Path("empty").mkdir()
    change(explained, lambda values: values.update(batch_size=-3))
    assert run("reproduce", explained, "--output", "empty").exit_code == 1
    assert not [*Path("empty").iterdir()]
