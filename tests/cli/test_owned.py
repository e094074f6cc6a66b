"""What a run owns of its folder stands in its manifest: it is taken up after any end, and nothing else is touched."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.tiny import noise
from vitreous.files.writing import alone_in

MINE = b"the user's own"
KINDS = {"explain": ("png", "npz"), "interactions": ("png", "npz", "html"), "inside": ("png", "npz")}
"""The files of a picture."""


def pictures(folder: Path, names: list[str]) -> Path:
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise(seed).save(path)
    return folder


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())


def outputs(folder: Path) -> set[str]:
    """All that is there, but for locks."""
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return {name for name in found if not name.endswith(".lock")}


def maps(folder: Path) -> int:
    """How many are there: `os.walk` minds no folder that goes away meanwhile."""
    return sum(name.endswith(".npz") for _, _, names in os.walk(folder) for name in names)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in outputs(folder) if name != "manifest.json"}


def start(*words: object, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vitreous", *map(str, words)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=cwd, preexec_fn=_hear_interrupts, **pipes)  # noqa: PLW1509  # no threads here


def _hear_interrupts() -> None:
    """Tests that run in the background of a shell inherit deafness."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(seen: Callable[[], object], process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 120
    while not seen() and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.mark.parametrize("command", KINDS)
def test_folders_keep_their_layout_and_are_done_once(run: Run, folder: Path, tmp_path: Path, command: str) -> None:
    pictures(tmp_path / "in", ["a/0001.png", "b/0001.png"])
    words = (command, "in", "--model", folder, "--output", "out")
    assert run(*words).exit_code == 0
    names = {f"{where}/0001.{kind}" for where in "ab" for kind in KINDS[command]} | {"manifest.json"}
    assert outputs(tmp_path / "out") == names
    written = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in names}
    (tmp_path / "out" / "b" / "0001.npz").unlink()
    assert run(*words).exit_code == 0
    again = {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in names}
    changed = {f"b/0001.{kind}" for kind in KINDS[command]} | {"manifest.json"}
    assert {name for name in names if again[name] != written[name]} == changed
    noise(7).save(tmp_path / "in" / "a" / "0001.png")  # another picture of the same name
    assert run(*words).exit_code == 0
    assert (tmp_path / "out" / "a" / "0001.npz").stat().st_mtime_ns != written["a/0001.npz"]
    assert len(manifest(tmp_path / "out")["pictures"]) == 2


@pytest.mark.parametrize("command", KINDS)
def test_files_that_are_not_its_own_stay(run: Run, folder: Path, tmp_path: Path, command: str) -> None:
    pictures(tmp_path / "in", ["cat.png", "dog.png"])
    out = tmp_path / "out"
    (out / ".part-mine").mkdir(parents=True)
    for name in ("cat.png", "dog.npz", ".part-mine/thing", ".writable"):
        (out / name).write_bytes(MINE)
    for _ in range(2):
        assert run(command, "in", "--model", folder, "--output", "out").exit_code == 0
        own = {f"{name}-2.{kind}" for name in ("cat", "dog") for kind in KINDS[command]}
        assert outputs(out) == {"cat.png", "dog.npz", ".part-mine/thing", ".writable", "manifest.json"} | own
    for name in ("cat.png", "dog.npz", ".part-mine/thing", ".writable"):
        assert (out / name).read_bytes() == MINE


@pytest.mark.parametrize("command", ["explain", "interactions"])
def test_where_all_lies_is_not_told_and_may_change(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    here = tmp_path / "home"
    pictures(here / "in", ["a/1.png", "b/2.png"])
    (here / "in" / "bad.png").write_bytes(MINE)
    words = (command, "--model", folder)
    assert run(*words, here / "in", "--output", here / "out").exit_code == 1
    assert "home" not in (here / "out" / "manifest.json").read_text()
    assert {each["file"] for each in manifest(here / "out")["pictures"]} == {
        "../in/a/1.png",
        "../in/b/2.png",
        "../in/bad.png",
    }
    written = {file: file.stat().st_mtime_ns for file in (here / "out").rglob("*.*") if file.stem in "12"}
    here.rename(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "elsewhere" / "in")
    assert run(*words, ".", "--output", "../out").exit_code == 1
    for file, at in written.items():
        assert (tmp_path / "elsewhere" / file.relative_to(here)).stat().st_mtime_ns == at
    assert run("reproduce", "../out").exit_code == 0


def test_settings_that_change_do_everything_anew_and_keep_the_names(run: Run, folder: Path, tmp_path: Path) -> None:
    pictures(tmp_path / "in", ["cat.png", "dog.png"])
    run("explain", "in", "--model", folder, "--output", "out", "--method", "rollout")
    before = contents(tmp_path / "out")
    assert run("explain", "in/cat.png", "--model", folder, "--output", "out", "--method", "ag_cam").exit_code == 0
    after = contents(tmp_path / "out")
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} == {"cat.png", "cat.npz"}
    told = manifest(tmp_path / "out")
    assert [Path(each["file"]).name for each in told["pictures"]] == ["cat.png"]
    assert [Path(each["file"]).name for run in told["earlier"] for each in run["pictures"]] == ["dog.png"]
    assert [list(each["methods"]) for each in (told, *told["earlier"])] == [["ag_cam"], ["rollout"]]


def test_outputs_among_the_pictures_are_no_pictures(run: Run, folder: Path, tmp_path: Path) -> None:
    pictures(tmp_path / "in", ["cat.png"])
    for _ in range(2):
        assert run("explain", "in", "--model", folder, "--output", "in", "--method", "rollout").exit_code == 0
        assert outputs(tmp_path / "in") == {"cat.png", "cat-2.png", "cat-2.npz", "manifest.json"}


@pytest.mark.parametrize(
    "words",
    [
        ("explain", "in/cat.png", "--output", "out"),
        ("interactions", "in/cat.png", "--output", "out"),
        ("inside", "in/cat.png", "--output", "out"),
        ("interactions", "folder:set", "--output", "out"),
        ("concepts", "folder:set", "--count", "1", "--draws", "1", "--output", "out"),
        ("autoencoder", "folder:set", "--features", "4", "--k", "2", "--steps", "1", "--output", "out"),
        ("benchmark", "folder:set", "--method", "rollout", "--metric", "cor_loc", "--output", "out"),
        ("verify", "windows", "folder:set", "--output", "out"),
    ],
)
@pytest.mark.parametrize("text", ['{"job": "another"}', '{"mine": 1}', "not JSON"])
def test_the_manifest_of_others_is_left_alone(
    run: Run, folder: Path, tmp_path: Path, words: tuple[str, ...], text: str
) -> None:
    pictures(tmp_path, ["in/cat.png", "set/a/0.png", "set/b/0.png"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "manifest.json").write_text(text)
    done = run(*words, "--model", folder)
    assert done.exit_code == 1
    assert "Choose another output folder" in done.stderr
    assert outputs(tmp_path / "out") == {"manifest.json"}
    assert (tmp_path / "out" / "manifest.json").read_text() == text


@pytest.mark.parametrize(
    ("words", "file"),
    [
        (("benchmark", "folder:set", "--method", "rollout", "--metric", "cor_loc"), "summary.md"),
        (("verify", "windows", "folder:set"), "plot.svg"),
        (("interactions", "folder:set"), "average.npz"),
        (("concepts", "folder:set", "--count", "1", "--draws", "1"), "concepts.csv"),
        (("autoencoder", "folder:set", "--features", "4", "--k", "2", "--steps", "1"), "autoencoder.safetensors"),
    ],
)
def test_a_file_of_a_fixed_name_is_refused_unless_it_is_its_own(
    run: Run, folder: Path, tmp_path: Path, words: tuple[str, ...], file: str
) -> None:
    pictures(tmp_path, ["set/a/0.png", "set/b/0.png"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / file).write_bytes(MINE)
    done = run(*words, "--model", folder, "--output", "out")
    assert done.exit_code == 1
    assert f"{file}` is there already, and no" in done.stderr
    assert contents(tmp_path / "out") == {file: MINE}


@pytest.mark.parametrize("name", ["../out", "/tmp/x", "a/../../b", ""])
def test_a_manifest_that_leads_out_of_its_folder_is_refused(run: Run, folder: Path, tmp_path: Path, name: str) -> None:
    picture = pictures(tmp_path / "in", ["cat.png"]) / "cat.png"
    words = ("explain", picture, "--model", folder, "--output", "out", "--method", "rollout")
    run(*words)
    told = manifest(tmp_path / "out")
    told["files"] = {name: str(picture)}
    (tmp_path / "out" / "manifest.json").write_text(json.dumps(told))
    before = outputs(tmp_path)
    done = run(*words)
    assert done.exit_code == 1
    assert "is not as a run left it" in done.stderr
    assert outputs(tmp_path) == before


def test_one_run_a_folder(run: Run, folder: Path, tmp_path: Path) -> None:
    pictures(tmp_path / "in", ["cat.png"])
    for command in KINDS:
        with alone_in(tmp_path / command):
            done = run(command, "in", "--model", folder, "--output", command)
        assert done.exit_code == 1
        assert "another run is writing to" in done.stderr
        assert outputs(tmp_path / command) == set()


def test_several_models_and_exports_leave_what_is_another_s(run: Run, folder: Path, tmp_path: Path) -> None:
    pictures(tmp_path / "in", ["cat.png"])
    words = ("explain", "in", "--model", folder, "--model", folder, "--method", "rollout", "--export", "csv")
    words = (*words, "--output", "out")
    assert run(*words).exit_code == 0
    own = outputs(tmp_path / "out")
    others = {f"{Path(name).parent}/mine{Path(name).suffix}" for name in own}
    for name in others:
        (tmp_path / "out" / name).write_bytes(MINE)
    held = next(path for path in (tmp_path / "out").iterdir() if path.is_dir() and (path / "manifest.json").exists())
    with alone_in(held):
        done = run(*words)
    assert done.exit_code == 1
    assert "another run is writing to" in done.stderr
    assert run(*words).exit_code == 0
    assert outputs(tmp_path / "out") == own | {name.removeprefix("./") for name in others}
    assert all((tmp_path / "out" / name).read_bytes() == MINE for name in others)


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
