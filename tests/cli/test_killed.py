"""A run that was stopped or killed at any moment goes on, and nothing else is touched."""

from __future__ import annotations

import json
import random
import signal
import time
from pathlib import Path

import pytest

from tests.cli.owned import KINDS, MINE, contents, manifest, maps, outputs, pictures, start, wait_for


@pytest.mark.slow
def test_an_interrupt_says_how_far_it_is(folder: Path, tmp_path: Path) -> None:
    pictures(tmp_path / "in", [f"{at}.png" for at in range(60)])
    words = ("explain", "in", "--model", folder, "--output", "out", "--method", "rollout", "--batch-size", 1)
    process = start(*words, cwd=tmp_path)
    wait_for(lambda: len(list((tmp_path / "out").glob("*.png"))) >= 3, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    done = len(manifest(tmp_path / "out")["pictures"])
    assert 2 <= done < 60  # of the third, the sheet is there
    either = [f"Stopped after {count} of 60; run it again to go on." for count in (done - 1, done)]  # kept, then told
    assert said.splitlines()[-1] in either


@pytest.mark.slow
@pytest.mark.parametrize("command", KINDS)
def test_a_run_that_is_killed_goes_on(folder: Path, tmp_path: Path, command: str) -> None:
    """At any moment: what is whole stays as it is, and the end is that of a run that nobody killed."""
    pictures(tmp_path / "in", [f"{at % 3}/{at}.png" for at in range(24)])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "0").mkdir()
    (tmp_path / "out" / "0" / "3.png").write_bytes(MINE)
    words = (command, "in", "--model", folder, "--output", "out")
    whole: dict[str, int] = {}
    for kill in range(8):
        process = start(*words, cwd=tmp_path)
        least = maps(tmp_path / "out") + 1
        wait_for(lambda least=least: maps(tmp_path / "out") >= least, process)
        time.sleep(0.007 * kill)
        process.kill()
        process.communicate(timeout=120)
        for name, written in whole.items():
            assert (tmp_path / "out" / name).stat().st_mtime_ns == written
        journal = tmp_path / "out" / ".manifest.jsonl"
        lines = [json.loads(line) for line in journal.read_text().splitlines(keepends=True) if line.endswith("\n")]
        names = [line["found"]["name"] for line in lines if "found" in line]
        whole |= {f"{n}.{k}": (tmp_path / "out" / f"{n}.{k}").stat().st_mtime_ns for n in names for k in KINDS[command]}
    last = start(*words, cwd=tmp_path)
    last.communicate(timeout=300)
    assert last.returncode == 0
    for name, written in whole.items():
        assert (tmp_path / "out" / name).stat().st_mtime_ns == written
    fresh = start(*words[:-1], "fresh", cwd=tmp_path)
    fresh.communicate(timeout=300)
    expected = {f"{at % 3}/{at}.{kind}" for at in range(24) if at != 3 for kind in KINDS[command]}
    expected |= {"0/3.png", "manifest.json", *(f"0/3-2.{kind}" for kind in KINDS[command])}
    assert outputs(tmp_path / "out") == expected
    assert not list((tmp_path / "out").rglob(".part-*"))
    assert (tmp_path / "out" / "0" / "3.png").read_bytes() == MINE
    told, once = manifest(tmp_path / "out"), manifest(tmp_path / "fresh")
    assert [each["file"] for each in told["pictures"]] == [each["file"] for each in once["pictures"]]
    assert not told["earlier"]


@pytest.mark.slow
def test_several_models_and_exports_go_on_after_kills(folder: Path, pooling: Path, tmp_path: Path) -> None:
    """At any moment: the end is that of a run that nobody killed, and what is another's stays."""
    pictures(tmp_path / "in", [f"{at % 2}/{at}.png" for at in range(8)])
    (tmp_path / "out" / "0").mkdir(parents=True)
    (tmp_path / "fresh" / "0").mkdir(parents=True)
    words = ("explain", "in", "--model", folder, "--model", pooling, "--method", "input_x_gradient", "--export", "csv")
    fresh = start(*words, "--output", "fresh", cwd=tmp_path)
    _, said = fresh.communicate(timeout=300)
    assert fresh.returncode == 0, said
    expected = contents(tmp_path / "fresh")
    mine = {f"{Path(name).parent}/mine{Path(name).suffix}" for name in expected if "exports" not in name}
    for name in mine:
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_bytes(MINE)

    chance = random.Random(0)
    for _ in range(6):
        process = start(*words, "--output", "out", cwd=tmp_path)
        least = maps(tmp_path / "out") + 1
        wait_for(lambda least=least: maps(tmp_path / "out") >= least, process)
        time.sleep(chance.uniform(0, 0.3))
        process.kill()
        process.communicate(timeout=120)
    last = start(*words, "--output", "out", cwd=tmp_path)
    _, said = last.communicate(timeout=300)
    assert last.returncode == 0, said
    found = contents(tmp_path / "out")
    assert found.keys() == expected.keys() | {name.removeprefix("./") for name in mine}
    assert all((tmp_path / "out" / name).read_bytes() == MINE for name in mine)
    assert not list((tmp_path / "out").rglob(".part-*"))
    differ = {name for name in expected if found[name] != expected[name]}
    assert not {name for name in differ if Path(name).suffix in (".png", ".csv")}, differ
