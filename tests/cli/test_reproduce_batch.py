"""`vitreous reproduce` of `vitreous batch`: every row of every shard again, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.cli.conftest import Run
from tests.cli.spoiled import change, check_refused
from tests.tiny import noise
from vitreous.cli.main import app
from vitreous.reproducing import batches


@pytest.fixture(scope="module")
def made_once(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures, one of them damaged, in three shards."""
    place = tmp_path_factory.mktemp("batch")
    (place / "in").mkdir()
    for seed in range(4):
        noise(seed).save(place / "in" / f"{seed}.png")
    (place / "in" / "bad.png").write_text("no picture")
    words = ["batch", place / "in", "--model", folder, "--method", "rollout", "--metric", "saco", "--sheets"]
    words += ["--target", "top-2", "--shard", 2, "--workers", 1, "--device", "cpu", "--output", place / "out"]
    made = CliRunner().invoke(app, [str(word) for word in words])
    assert made.exit_code == 0, made.output
    return place


@pytest.fixture
def batched(run: Run, made_once: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    del run  # it goes there
    shutil.copytree(made_once, tmp_path, dirs_exist_ok=True)
    return tmp_path / "out"


def files(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_rows_are_the_same_to_the_bit(run: Run, batched: Path, tmp_path: Path) -> None:
    before = files(batched)
    made = run("reproduce", "out")
    assert made.exit_code == 0, made.output
    assert "part-000002.parquet: the same to the bit\nReproduced: 5 of 5 are the same to the bit." in made.output
    assert files(batched) == before
    for name in ("part-000000.parquet", "part-000002.parquet"):
        assert (tmp_path / "reproduced" / "shards" / name).read_bytes() == (batched / "shards" / name).read_bytes()
    shutil.move("in", "moved")
    made = run("reproduce", "out", "--dataset", "moved", "--output", "again")
    assert made.exit_code == 0, made.output


@pytest.mark.slow
def test_many_shards_are_done_by_several_processes(run: Run, batched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "_ALONE", 0)
    change(batched, lambda values: values["plan"].update(job="explain"))  # it is what the manifest says it is
    made = run("reproduce", batched)
    assert made.exit_code == 0, made.output
    names = [line.partition(":")[0] for line in made.output.splitlines() if line.startswith("part-")]
    assert names == [f"part-00000{at}.parquet" for at in range(3)]


def test_other_rows_are_told(run: Run, batched: Path) -> None:
    change(batched, lambda values: values["plan"]["methods"]["rollout"]["settings"].update(start_layer=1))
    made = run("reproduce", batched)
    assert made.exit_code == 3
    assert "part-000000.parquet: 0 of 2 rows are the same to the bit, and `" in made.output
    assert "Not reproduced: 1 of 5 are the same to the bit." in made.output, "the damaged one has no map"


def test_rows_of_other_classes_are_told(run: Run, batched: Path) -> None:
    change(batched, lambda values: values["plan"].update(target="predicted"))
    made = run("reproduce", batched)
    assert made.exit_code == 3
    assert "differs in words or sizes" in made.output


def test_what_is_gone_or_another_is_told(run: Run, batched: Path) -> None:
    noise(9).save("in/2.png")
    made = run("reproduce", batched)
    assert made.exit_code == 1
    assert "1 of 2 pictures of `" in made.output
    assert "are not what they were, such as `2.png`. Put those back." in made.output
    Path("in/2.png").unlink()
    made = run("reproduce", batched)
    assert made.exit_code == 1
    assert "2.png" in made.output
    (batched / "shards" / "part-000001.parquet").unlink()
    made = run("reproduce", batched)
    assert "has 2 of its 3 shards. Run its `vitreous batch` again" in made.output
    assert not Path("reproduced").exists()


def test_no_code_is_run_and_no_address_opened_that_a_file_names(run: Run, batched: Path) -> None:
    for key, name in (("methods", "subprocess:Popen"), ("metrics", "subprocess:Popen")):
        change(batched, lambda values, key=key, name=name: values["plan"].update({key: {name: {"settings": {}}}}))
        made = run("reproduce", batched)
        assert made.exit_code == 1
        assert "a file names no code to run. Say --use subprocess:Popen" in made.output
        change(batched, lambda values, key=key: values["plan"].update({key: {}}))
    change(batched, lambda values: values.update(root="s3://bucket/photos"))
    made = run("reproduce", batched)
    assert made.exit_code == 1
    assert "Say --dataset s3://bucket/photos if you trust it." in made.output
    change(batched, lambda values: values.update(root="../in"))
    lines = (batched / "shards.jsonl").read_text().splitlines()
    part = json.loads(lines[0])
    lines[0] = json.dumps(part | {"names": ["http://127.0.0.1:9/x.png", *part["names"][1:]]})
    (batched / "shards.jsonl").write_text("\n".join(lines) + "\n")
    made = run("reproduce", batched)
    assert made.exit_code == 1
    assert "a file names none to open" in made.output


@pytest.mark.parametrize(
    "spoil",
    [
        lambda values: values.pop("plan"),
        lambda values: values.update(plan="x"),
        lambda values: values.update(plan=[["job", "batch"]]),
        lambda values: values.update(root=7),
        lambda values: values.update(hash=None),
        lambda values: values.update(hash="0" * 64),
        lambda values: values["plan"].update(threads=10**30),
        lambda values: values["plan"].update(threads="many"),
        lambda values: values["plan"].update(shard=0),
        lambda values: values["plan"].update(shards=10**12),
        lambda values: values["plan"].update(shards=-1),
        lambda values: values["plan"].update(batch_size=10**30),
        lambda values: values["plan"].update(sheets="yes"),
        lambda values: values["plan"].update(target=3),
        lambda values: values["plan"].update(against="no such class"),
        lambda values: values["plan"].update(metrics=["saco"]),
        lambda values: values["plan"]["metrics"].update(sacco={"settings": {}}),
        lambda values: values["plan"]["metrics"].update(perturbation={"settings": {"precision": "torch.load"}}),
        lambda values: values["plan"]["metrics"].update(saco={"settings": {"use": "subprocess:Popen"}}),
        lambda values: values["plan"].update(model="no such model"),
        lambda values: values["plan"].pop("versions"),
        lambda values: values["plan"].update(weights_sha256="0" * 64),
    ],
)
def test_damaged_manifests_are_refused(run: Run, batched: Path, spoil: Callable[[dict[str, Any]], object]) -> None:
    change(batched, spoil)
    check_refused(run, batched)
