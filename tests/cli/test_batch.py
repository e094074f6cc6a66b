"""`vitreous batch`: what it says, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.tiny import noise
from vitreous.cli import batch as command


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for at in range(4):
        noise(at).save(folder / f"{at}.png")
    (folder / "bad.png").write_text("no picture")
    return folder


def test_a_log_and_a_summary(run: Run, folder: Path, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "_EVERY", 0.0)
    words = ("batch", photos, "--model", folder, "--method", "ag_cam,rollout", "--shard", 2, "--workers", 1)
    done = run(*words, "--set", "rollout.start_layer=1", "--device", "cpu")
    assert done.exit_code == 0, done.output
    first, *_, there, failed = done.output.splitlines()
    assert first == "0 of 5 pictures"
    assert "4 of 5 pictures, " in done.output
    assert " a second, " in done.output
    assert there == f"5 pictures in 3 shards: {photos.parent}/batch/shards"
    assert failed == "1 of them could not be explained; their rows say why, under `error`."
    again = run(*words, "--device", "cpu")
    assert again.exit_code == 1
    assert "`methods` was" in again.output


def test_what_cannot_be(run: Run, folder: Path, photos: Path) -> None:
    for more, code, said in (
        (["none"], 1, "there is no file or folder"),
        ([photos, "--method", "agcam"], 2, 'Did you mean "ag_cam"?'),
        ([photos, "--metric", "sacco"], 2, 'Did you mean "saco"?'),
        ([photos, "--metric", "pointing"], 1, "cannot be measured on pictures alone"),
        ([photos, "--engine", "spark"], 2, 'no value of `engine` named "spark"'),
        ([photos, "--share", "3,3"], 1, "`share` is 3 of 3"),
        ([photos, "--address", "auto"], 1, "the engine is local"),
    ):
        done = run("batch", *more, "--model", folder, "--device", "cpu")
        assert done.exit_code == code, done.output
        assert said in done.output
