"""Which pictures paths and patterns lead to."""

from __future__ import annotations

from pathlib import Path

import pytest

from vitreous.data.finding import find_pictures
from vitreous.errors import DataError


def test_pictures_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("b.png", "a.JPG", "sub/deep/c.webp", "sub/.hidden.png", "notes.txt", "[x].tif", "dir.png/inner.bmp"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    everything = ["[x].tif", "a.JPG", "b.png", "dir.png/inner.bmp", "sub/deep/c.webp"]
    monkeypatch.chdir(tmp_path)

    def found(*paths: str | Path) -> list[str]:
        return [path.as_posix() for path in find_pictures(paths)]

    assert found(".") == everything
    assert found("*.png", "b.png") == ["b.png"]
    assert found("b.png", ".") == ["b.png", *(name for name in everything if name != "b.png")]
    assert found("**/*.webp") == ["sub/deep/c.webp"]
    assert found(str(tmp_path / "*.JPG")) == [(tmp_path / "a.JPG").as_posix()]
    assert found("[x].tif") == ["[x].tif"]  # a file's name is no pattern
    assert found("notes.txt") == ["notes.txt"]  # named on purpose: reading it says what is wrong
    assert found() == []
    for nothing in ("*.gif", "sub/.hidden.png/*", "**.jpeg"):
        with pytest.raises(DataError, match="leads to no picture"):
            find_pictures([nothing])
    with pytest.raises(DataError, match=r"there is no file or folder `missing\.png`"):
        find_pictures(["b.png", "missing.png"])
