"""Pipes, devices, sparse files, links that lead in circles: nothing is waited for, and nothing is read without end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.data.trees import write
from vitreous.data.finding import find_pictures, left_out
from vitreous.data.pictures import open_picture
from vitreous.errors import DataError, ExplainWarning
from vitreous.files import reading
from vitreous.files.reading import read_bytes, walk

GIB = 2**30


def test_files_that_never_end_or_are_too_large(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", Path("/dev/zero"), tmp_path):
        with pytest.raises(DataError, match="is no file"):
            read_bytes(path, "Copy it again.")
    with pytest.raises(DataError, match="is not a file"):
        open_picture(tmp_path / "pipe.jpg")
    with pytest.raises(DataError, match="is a pipe, a socket or a device"):
        find_pictures([tmp_path / "pipe.jpg"])
    with pytest.warns(ExplainWarning, match=r"pipe, socket or device is no picture: `pipe\.jpg`"):
        assert not list(walk(tmp_path))
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(4 * GIB)
    with pytest.raises(DataError, match=r"has 4,294,967,296 bytes, more than 1,073,741,824"):
        read_bytes(tmp_path / "sparse", "Copy it again.")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DataError, match=r"there is no file|Too many levels"):
        read_bytes(tmp_path / "loop", "Copy it again.")
    with pytest.raises(DataError, match="File name too long"):
        read_bytes(tmp_path / ("x" * 300), "Copy it again.")


def test_loops_of_links_end(tmp_path: Path) -> None:
    write(tmp_path / "hen" / "a.jpg")
    write(tmp_path / "cat" / "b.jpg")
    for name in "abcdefgh":
        (tmp_path / "hen" / name).symlink_to(tmp_path)
        (tmp_path / name).symlink_to(".")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "two").symlink_to("cat")
    found = sorted(name for name in walk(tmp_path) if name.count("/") == 1)
    assert found == ["cat/b.jpg", "hen/a.jpg", "two/b.jpg"]
    assert sorted(path.name for path in find_pictures([tmp_path])) == ["a.jpg", "b.jpg"]
    assert {path.name for path in find_pictures([tmp_path / "**" / "*.jpg"])} == {"a.jpg", "b.jpg"}


def test_links_that_lead_to_very_many_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_LINKED", 1000)
    for name in map(str, range(9)):
        (tmp_path / name).mkdir()
        for other in map(str, range(9)):
            (tmp_path / name / other).symlink_to(tmp_path / other)
    with pytest.raises(DataError, match="lead to more than 1,000 folders"):
        list(walk(tmp_path))


def test_links_to_nothing_and_pipes_are_left_out_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.png").symlink_to("nothing")
    os.mkfifo(tmp_path / "pipe")
    assert left_out([tmp_path], []) == [tmp_path / "a.png", tmp_path / "pipe"]
