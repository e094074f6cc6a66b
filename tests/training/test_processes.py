"""Two processes that train together end where one would."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.training.test_classify import RECIPE, dark_and_light
from tests.training.two_processes import RECIPES, trained
from vitreous.data.labelled import load_labelled
from vitreous.errors import DataError, ModelError
from vitreous.training.batches import training_batches, validation_batches
from vitreous.training.processes import join

ROOT = Path(__file__).parents[2]


def torchrun(*arguments: str | Path) -> str:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, cwd=ROOT, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    dark_and_light(folder / "set.npz", 51)
    torch.manual_seed(0)
    save_file(timm.create_model("vit_tiny_patch16_224").state_dict(), folder / "teacher.safetensors")
    return folder


@pytest.fixture(scope="module")
def together(folder: Path) -> list[Any]:
    return in_two(folder, "together", *RECIPES)


def in_two(folder: Path, name: str, *recipes: str) -> list[Any]:
    """What two processes hold after training by these recipes."""
    (folder / name).mkdir()
    torchrun("-m", "tests.training.two_processes", folder / "set.npz", folder / name, *recipes)
    return [torch.load(folder / name / rank, weights_only=True) for rank in "01"]


def weights(tensors: dict[str, Any], part: str) -> dict[str, Tensor]:
    return {name: t for name, t in tensors[part].items() if "running" not in name and "num_batches" not in name}


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_two_processes_are_one_run(folder: Path, together: list[Any], name: str) -> None:
    (first, rows), (second, others) = (rank[name] for rank in together)
    assert first.keys() == second.keys()
    lessons = {"distilled": {"project"}, "hinted": {"hints", "probe"}}.get(name, set())
    assert lessons <= first.keys()
    for part in ("model", "ema", *lessons):
        assert all(torch.equal(first[part][key], second[part][key]) for key in first[part])
    assert [(row["loss"], row["top1"], row["best"]) for row in rows] == [
        (row["loss"], row["top1"], row["best"]) for row in others
    ]
    alone, epochs = trained(replace(RECIPES[name], accumulate=2), folder / "set.npz", folder / "alone" / name)
    assert [row["loss"] for row in rows] == pytest.approx([row.loss for row in epochs], rel=1e-4)
    for part in ("model", "ema"):
        given, wanted = weights(first, part), weights(alone, part)
        worst = max((given[key].float() - wanted[key].float()).abs().max().item() for key in wanted)
        print(name, part, worst)
        assert worst < 1e-4


@pytest.mark.slow
def test_a_batch_in_two_processes_is_the_batch_in_one(folder: Path) -> None:
    tensors, rows = in_two(folder, "pair", "plain")[0]["plain"]
    alone, epochs = trained(RECIPES["plain"], folder / "set.npz", folder / "whole")
    assert [row["loss"] for row in rows] == pytest.approx([row.loss for row in epochs], rel=1e-4)
    assert [row["top1"] for row in rows] == [row.top1 for row in epochs]
    for key, value in alone["model"].items():
        torch.testing.assert_close(tensors["model"][key], value, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_the_command_writes_and_prints_once(folder: Path) -> None:
    (folder / "r.toml").write_text(replace(RECIPE, epochs=1).to_toml(), encoding="utf-8")
    out = folder / "command"
    said = torchrun(
        *("-m", "vitreous", "train", folder / "r.toml", "--data", folder / "set.npz"),
        "--output",
        out,
        "--device",
        "cpu",
    )
    assert said.count("epoch   1/1") == 1
    assert said.count("are in") == 1
    assert {"model.safetensors", "log.csv", "report.html", "checkpoint.pt"} <= {file.name for file in out.iterdir()}
    assert len((out / "log.csv").read_text().splitlines()) == 2


def test_shares_are_disjoint_and_complete(tmp_path: Path) -> None:
    pictures, held_out, _ = load_labelled(dark_and_light(tmp_path / "set.npz", 51))
    recipe = replace(RECIPE, batch_size=12, accumulate=2)
    for epoch in (0, 1):
        shares = [[*training_batches(recipe, pictures, epoch, workers=0, rank=at, count=3)] for at in range(3)]
        seen = [index for share in shares for batch in share for index in batch.index.tolist()]
        assert len(set(seen)) == len(seen) == len(pictures) // 12 * 12
        assert sorted(batch.number for share in shares for batch in share) == [*range(len(seen) // 2)]
    shares = [[*validation_batches(recipe, held_out, workers=0, rank=at, count=3)] for at in range(3)]
    labels = [label for share in shares for _, batch in share for label in batch.tolist()]
    assert len(labels) == len(held_out) == 17
    assert np.bincount(labels).tolist() == np.bincount([held_out[at][1] for at in range(17)]).tolist()


def test_steps_that_cannot_be_shared(tmp_path: Path) -> None:
    pictures, _, _ = load_labelled(dark_and_light(tmp_path / "set.npz"))
    with pytest.raises(
        DataError, match=r"8 pictures per step make no 6 equal batches \(`accumulate` 2 × processes 3\)"
    ):
        next(training_batches(replace(RECIPE, accumulate=2), pictures, 0, workers=0, count=3))


def test_a_process_alone_among_many_says_how_to_start_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with (
        pytest.raises(ModelError, match=r"the processes cannot meet: .*RANK.*Start them with torchrun"),
        join(torch.device("cpu")),
    ):
        pass
