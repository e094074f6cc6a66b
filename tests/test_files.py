"""Files and folders on disks that say no."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from vitreous.errors import DataError
from vitreous.files.reading import read_json
from vitreous.files.writing import alone_at, check_writable, whole_file, write_json
from vitreous.models.card import save_folder
from vitreous.training.checkpoint import save_checkpoint
from vitreous.training.recipe import Recipe

resource = pytest.importorskip("resource")


@contextmanager
def full_disk(room: int) -> Generator[None]:
    """No file grows beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_was_saved_outlives_a_full_disk(tmp_path: Path) -> None:
    recipe, weights = Recipe("vit_tiny_patch16_224", 16, 4), {"weight": torch.zeros(5000)}
    save_checkpoint(tmp_path, weights, recipe, epoch=1)
    save_folder(tmp_path, {"old": True}, weights)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with full_disk(10_000):
        with pytest.raises(DataError, match=r"checkpoint\.pt` cannot be written: .*make room"):
            save_checkpoint(tmp_path, weights, recipe, epoch=2)
        with pytest.raises(DataError, match=r"model\.safetensors` cannot be written: File too large.*make room"):
            save_folder(tmp_path, {"old": False}, weights)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder")
    assert not list((tmp_path / "new" / "folder").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(
        DataError, match=r"file/folder` cannot be written: Not a directory\. Choose another output folder"
    ):
        check_writable(tmp_path / "file" / "folder")


def test_one_at_a_time(tmp_path: Path) -> None:
    count = tmp_path / "count"
    count.write_text("0")
    inside: list[int] = []

    def add() -> None:
        for _ in range(5):
            with alone_at(count):
                inside.append(1)
                assert len(inside) == 1
                value = int(count.read_text())
                threading.Event().wait(0.001)
                count.write_text(str(value + 1))
                inside.pop()

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count.read_text() == "20"


def test_who_died_lets_go(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from vitreous.files.writing import alone_at\n"
        "with alone_at(Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "file"], check=False, timeout=100)
    assert done.returncode == -signal.SIGKILL
    assert [path.name for path in tmp_path.iterdir()] == [".file.lock"]
    waiting = threading.Thread(target=lambda: alone_at(tmp_path / "file").__enter__(), daemon=True)
    waiting.start()
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_part_is_nobodys_file(tmp_path: Path) -> None:
    """A user's `.x.png` is not the part of `x.png`."""
    hidden = tmp_path / ".x.png"
    hidden.write_text("the user's")
    with whole_file(tmp_path / "x.png") as part:
        assert part.suffix == ".png"
        part.write_text("new")
        assert not (tmp_path / "x.png").exists()
    assert hidden.read_text() == "the user's"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".x.png", "x.png"]


@pytest.mark.parametrize("length", [255, 256, 5000])
def test_a_name_of_any_length_is_written_or_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / ("x" * length)
    if length == 255:
        with whole_file(path) as part:
            part.write_text("long")
        assert path.read_text() == "long"
    else:
        with pytest.raises(DataError, match="cannot be written: File name too long"), whole_file(path) as part:
            part.write_text("too long")
    assert len(list(tmp_path.iterdir())) == (length == 255)


def test_json_has_no_nan_and_keeps_names_that_are_no_text(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    write_json(tmp_path / "a.json", {"value": [math.nan, math.inf, 1.5], "file": name, "class": "猫"})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert "猫" in text
    assert "NaN" not in text
    assert read_json(tmp_path / "a.json", "") == {"value": [None, None, 1.5], "file": name, "class": "猫"}
