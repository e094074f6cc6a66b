"""The same pictures, wherever they lie: in folders, lists, archives, tables and at addresses."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest

from tests.data.packed import FILES, WALKED, as_files, as_parquet, as_tar, as_zip, read
from vitreous.data.sources.slices import find_files
from vitreous.errors import DataError, ExplainWarning


def test_a_folder(tmp_path: Path) -> None:
    as_files(tmp_path)
    with pytest.warns(ExplainWarning, match=r"a file without pictures left out: `notes\.md`\.$"):
        assert list(read(tmp_path)) == WALKED
    (tmp_path / "notes.md").unlink()
    assert read(tmp_path) == FILES


def test_dicom_is_known_by_its_beginning_and_others_are_left_out_with_a_line(tmp_path: Path) -> None:
    dicom = bytes(128) + b"DICM and so on"
    for name in ("IM1", "1.2.840.7"):
        (tmp_path / name).write_bytes(dicom)
    for name in ("LICENSE", "a.nii", "b.docx", "c.md"):
        (tmp_path / name).write_bytes(b"none")
    with pytest.warns(ExplainWarning, match=r"4 files without pictures left out: `LICENSE`, `a\.nii`, `b\.docx`, …\.$"):
        assert read(tmp_path) == {"1.2.840.7": dicom, "IM1": dicom}
    store = fsspec.filesystem("memory")
    store.pipe({"/scans/IM1": dicom, "/scans/other": b"none"})
    with pytest.warns(ExplainWarning, match="left out: `other`"):
        assert read("memory://scans") == {"IM1": dicom}


def test_pipes_in_a_folder_are_told_and_not_opened(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"1")
    for name in ("IM1", "b.png", ".hidden"):
        os.mkfifo(tmp_path / name)
    with pytest.warns(
        ExplainWarning, match=r"left out, since a pipe, socket or device is no picture: `IM1`, `b\.png`\.$"
    ):
        assert read(tmp_path) == {"a.png": b"1"}
    with pytest.raises(DataError, match=r"IM1` is a pipe, a socket or a device, and no file"):
        read(tmp_path / "IM1")


def test_a_pattern_and_a_single_file(tmp_path: Path) -> None:
    as_files(tmp_path)
    assert list(read(tmp_path / "*" / "*.png")) == ["c/d.png", "c/e.png"]
    assert list(read(tmp_path / "**" / "[ae].png")) == ["a.png", "c/e.png"]
    assert read(tmp_path / "a.png") == {"a.png": FILES["a.png"]}


def test_a_list(tmp_path: Path) -> None:
    as_files(tmp_path / "here")
    fsspec.filesystem("memory").pipe("/list/x.png", b"x")
    (tmp_path / "here" / "odd").write_bytes(b"named, so a picture")
    listed = tmp_path / "list.txt"
    listed.write_text(f"\ufeffhere/c/d.png\n\n{tmp_path}/here/a.png\nmemory://list/x.png\nhere/odd\n", encoding="utf-8")
    found = read(listed)
    assert list(found) == ["here/c/d.png", f"{tmp_path}/here/a.png", "memory://list/x.png", "here/odd"]
    assert list(found.values()) == [FILES["c/d.png"], FILES["a.png"], b"x", b"named, so a picture"]
    listed.write_text("here/a.png\nhere/none.png\n")
    with pytest.raises(DataError, match=r"line 2 of .*`here/none.png`: No such file or directory\. Correct that line"):
        read(listed)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("here/a.png\n".encode("utf-16"), "is no text in UTF-8. Give a text file in UTF-8"),
        (b"here/a.png\r\nhere\r\n", "line 2 of .*, `here`, is no file"),
        ("here/\u2028.png".encode(), r"line 1 of .*, `here/\\u2028\.png`: No such file"),
        (b"\r\n", "list.txt` leads to no picture"),
    ],
)
def test_lists_that_are_none(tmp_path: Path, lines: bytes, said: str) -> None:
    as_files(tmp_path / "here")
    (tmp_path / "list.txt").write_bytes(lines)
    with pytest.raises(DataError, match=said):
        read(tmp_path / "list.txt")


def test_addresses(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    as_files(tmp_path / "files")
    for suffix, write in (("zip", as_zip), ("tar", as_tar), ("parquet", as_parquet)):
        write(tmp_path / f"one.{suffix}")
        store.pipe(f"/bucket/{suffix}/one.{suffix}", (tmp_path / f"one.{suffix}").read_bytes())
        assert read(f"memory://bucket/{suffix}") == read(tmp_path / f"one.{suffix}")
        assert read(f"memory://bucket/{suffix}/*.{suffix}") == read(f"memory://bucket/{suffix}/one.{suffix}")
    for name, content in FILES.items():
        store.pipe(f"/bucket/files/{name}", content)
    assert read("memory://bucket/files/") == FILES
    store.pipe("/bucket/odd/[1].png", b"1")
    assert read("memory://bucket/odd/[1].png") == {"[1].png": b"1"}
    with pytest.raises(DataError, match="nothing at `memory://bucket/none`"):
        read("memory://bucket/none")
    with pytest.raises(DataError, match="`nosuch://a` cannot be read: Protocol not known: nosuch"):
        read("nosuch://a")


def test_what_is_no_data_set(tmp_path: Path) -> None:
    as_files(tmp_path / "mixed")
    as_zip(tmp_path / "mixed" / "more.zip")
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "a.tar.gz").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "a.png").symlink_to("nothing")
    for name, said in (
        ("mixed", "holds pictures beside archives of pictures"),
        ("packed", "`a.tar.gz` is packed as a whole"),
        ("empty", "leads to no picture"),
        ("links", r"`a\.png` in `.*` is a link to nothing"),
        ("none", "there is no file or folder"),
        ("*.none", "leads to no picture"),
    ):
        with pytest.raises(DataError, match=said):
            read(tmp_path / name)
    with pytest.raises(DataError, match="the place of the pictures is empty"):
        read("")


def test_names_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "caf\udce9.png").write_bytes(b"1")
    assert read(tmp_path) == {r"caf\xe9.png": b"1"}


def test_a_changed_file_has_another_stamp(tmp_path: Path) -> None:
    as_files(tmp_path)
    before = list(find_files(str(tmp_path)).each())
    (tmp_path / "a.png").write_bytes(b"other")
    after = list(find_files(str(tmp_path)).each())
    assert [old.name for old, new in zip(before, after, strict=True) if old != new] == ["a.png"]
