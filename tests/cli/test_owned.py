"""What a run owns of its folder stands in its manifest: it is taken up after any end, and nothing else is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.owned import KINDS, MINE, contents, manifest, outputs, pictures
from tests.tiny import noise
from vitreous.files.writing import alone_in


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
