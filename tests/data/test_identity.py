"""A run goes on with the pictures that it began with: others under the same names are told, in every layout."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.data.trees import TREES
from tests.tiny import save_pictures
from vitreous.data.labelled import load_labelled
from vitreous.data.readers import open_samples
from vitreous.data.samples import Samples, join_identity
from vitreous.errors import DataError


def join(old: dict[str, object], samples: Samples, *, check: bool = False) -> dict[str, object]:
    return join_identity(old, samples.identity(check=check), samples.name, Path("out"))


def changed(picture: Path) -> None:
    """Other pixels under the same name, of the same size in bytes, written at another time."""
    content = bytearray(picture.read_bytes())
    content[-1] ^= 1
    before = picture.stat()
    picture.write_bytes(content)
    os.utime(picture, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def test_changed_pictures_are_told(tmp_path: Path) -> None:
    spec = save_pictures(tmp_path)
    old = open_samples(spec).identity()
    assert join(old, open_samples(spec)) == old
    changed(tmp_path / "dog" / "0.png")
    assert open_samples(spec).fingerprint == old["fingerprint"]
    with pytest.raises(DataError, match=r"written at another time.*--check next time"):
        join(old, open_samples(spec))


def test_a_changed_mask_is_told(tmp_path: Path) -> None:
    spec = save_pictures(tmp_path)
    old = open_samples(spec).identity()
    changed(tmp_path / "masks" / "dog" / "0.png")
    with pytest.raises(DataError, match="another time"):
        join(old, open_samples(spec))


def test_what_was_copied_is_compared_by_contents(tmp_path: Path) -> None:
    spec = save_pictures(tmp_path)
    old = open_samples(spec).identity(check=True)
    os.utime(tmp_path / "dog" / "0.png", ns=(0, 0))
    with pytest.raises(DataError, match="give --check, which compares contents"):
        join(old, open_samples(spec))
    joined = join(old, open_samples(spec), check=True)
    assert join(joined, open_samples(spec)) == joined, "its times are known from then on"
    changed(tmp_path / "dog" / "0.png")
    with pytest.raises(DataError, match="contents of files differ"):
        join(old, open_samples(spec), check=True)


@pytest.mark.parametrize("zipped", [False, True])
def test_an_archive_says_its_checksums(tmp_path: Path, zipped: bool) -> None:
    (tmp_path / "data").mkdir()
    save_pictures(tmp_path / "data")
    kept = [open_samples(f"folder:{_place(tmp_path, zipped)}").identity(check=True)]
    os.utime(tmp_path / "data" / "dog" / "0.png", (1e9, 1e9))
    kept.append(open_samples(f"folder:{_place(tmp_path, zipped)}").identity(check=True))
    assert (kept[0] == kept[1]) == zipped
    assert kept[0]["contents"] == kept[1]["contents"]


def _place(folder: Path, zipped: bool) -> Path:
    return Path(shutil.make_archive(str(folder / "data"), "zip", folder / "data")) if zipped else folder / "data"


@pytest.mark.parametrize("layout", TREES)
def test_every_layout_knows_its_files(tmp_path: Path, layout: str) -> None:
    spec = TREES[layout](tmp_path)
    old = open_samples(spec).identity()
    for file in tmp_path.rglob("*.*"):
        os.utime(file, ns=(0, 0))
    new = open_samples(spec).identity()
    assert new["fingerprint"] == old["fingerprint"]
    assert new["files"] != old["files"]


def test_training_does_not_go_on_with_others(tmp_path: Path) -> None:
    for split in ("train", "val"):
        (tmp_path / split / "a").mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / split / "a" / "1.png")
    before = load_labelled(tmp_path)[2]
    assert load_labelled(tmp_path)[2] == before
    changed(tmp_path / "train" / "a" / "1.png")
    assert load_labelled(tmp_path)[2] != before
