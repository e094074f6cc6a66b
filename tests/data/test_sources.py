"""The same pictures, wherever they lie: in folders, lists, archives, tables and at addresses."""

from __future__ import annotations

import io
import os
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vitreous.data.sources.slices import Slice, cut, find_files, read_slice
from vitreous.errors import DataError, ExplainWarning

FILES = {f"{name}.png": name.encode() * 700 for name in ("a", "b", "c/d", "c/e", "f")}
WALKED = ["a.png", "b.png", "f.png", "c/d.png", "c/e.png"]


def read(dataset: object, size: int = 2) -> dict[str, bytes | DataError]:
    files = find_files(str(dataset))
    parts = list(cut(files.each(), files.root, size, named=files.named, dataset=str(dataset)))
    assert all(0 < part.count <= size for part in parts)
    assert [Slice.from_json(part.to_json().encode(), Path("x")) for part in parts] == parts
    found = [list(read_slice(part, files.root)) for part in parts]
    assert [len(each) for each in found] == [part.count for part in parts]
    return {name: encoded for each in found for name, encoded in each}


def as_files(path: Path) -> None:
    for name, content in FILES.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    (path / "notes.md").write_text("no picture")
    (path / ".hidden.png").write_text("neither")


def as_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in reversed(FILES.items()):
            archive.writestr(name, content)
        archive.writestr("notes.md", "no picture")


def as_archive(path: Path, held: Mapping[str, bytes]) -> None:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            packed.writestr("s/", b"")
            for name, content in held.items():
                packed.writestr(name, content)
        return
    with tarfile.open(path, "w") as archive:
        for name, content in held.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def as_tar(path: Path, *, kind: int = tarfile.GNU_FORMAT, names: str = "") -> None:
    with tarfile.open(path, "w", format=kind) as archive:
        for at, (name, content) in enumerate(FILES.items()):
            for inner, data in ((names + name, content), (f"{at}.json", b"{}")):
                member = tarfile.TarInfo(inner)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def as_parquet(path: Path, *, structs: bool = True) -> None:
    pictures = [{"bytes": content, "path": name} if structs else content for name, content in FILES.items()]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()}) if structs else pa.binary()
    table = pa.table({"label": range(5), "image": pa.array(pictures, kind)})
    pq.write_table(table, path, row_group_size=3)


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


@pytest.mark.parametrize("suffix", ["zip", "tar"])
def test_dicom_in_an_archive_is_known_by_its_beginning(tmp_path: Path, suffix: str) -> None:
    dicom = bytes(128) + b"DICM and so on"
    held = {
        "s/1.2.840.7": dicom,
        "s/IM1": dicom,
        "s/LICENSE": b"none",
        "s/short": b"",
        "s/.IM2": dicom,
        "s/a.md": dicom,
    }
    packed = tmp_path / f"a.{suffix}"
    as_archive(packed, held)
    with warnings.catch_warnings(action="error"):
        assert read(packed, 1) == {f"a.{suffix}/s/{name}": dicom for name in ("1.2.840.7", "IM1")}
    as_archive(packed, held | {"s/ct.nii.gz": b"volume", "s/._ct.nii": b"none"})
    with pytest.warns(
        ExplainWarning, match=rf"`.*a\.{suffix}`: a NIfTI volume left out\. Unpack the archive to name slices"
    ):
        assert len(read(packed, 1)) == 2


def test_a_member_that_cannot_be_opened_is_no_dicom_file(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("IM1", bytes(128) + b"DICM")
        archive.writestr("b.png", b"1", zipfile.ZIP_STORED)
    assert list(read(tmp_path)) == ["a.zip/b.png"]


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


def test_an_archive_without_pictures_is_left_out_with_a_line(tmp_path: Path) -> None:
    zipfile.ZipFile(tmp_path / "none.zip", "w").close()
    with pytest.raises(DataError, match="leads to no picture"):
        read(tmp_path)
    as_zip(tmp_path / "some.zip")
    with pytest.warns(ExplainWarning, match=r"left out: `none\.zip`"):
        assert len(read(tmp_path)) == len(FILES)


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


@pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
@pytest.mark.parametrize(("suffix", "write"), [("zip", as_zip), ("tar", as_tar), ("parquet", as_parquet)])
def test_archives(tmp_path: Path, suffix: str, write: Callable[[Path], None], size: int) -> None:
    for name in ("one", "two"):
        write(tmp_path / f"{name}.{suffix}")
    found = read(tmp_path, size)
    names = [*map(str, range(5))] if suffix == "parquet" else [*FILES]
    assert list(found) == [f"{file}.{suffix}/{name}" for file in ("one", "two") for name in names]
    assert list(found.values()) == list(FILES.values()) * 2
    assert read(tmp_path / f"*.{suffix}") == found
    assert read(tmp_path / f"one.{suffix}", size) == dict(list(found.items())[:5])


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


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tars_of_every_kind(tmp_path: Path, kind: int) -> None:
    names = "n" * 90 + "/" if kind == tarfile.USTAR_FORMAT else "ü" * 120 + "/"
    as_tar(tmp_path / "a.tar", kind=kind, names=names)
    assert list(read(tmp_path / "a.tar")) == [f"a.tar/{names}{name}" for name in FILES]


def test_bytes_in_a_column_of_any_name(tmp_path: Path) -> None:
    as_parquet(tmp_path / "a.parquet", structs=False)
    assert list(read(tmp_path / "a.parquet").values()) == list(FILES.values())
    pq.write_table(pa.table({"x": [b"1", None], "y": [1, 2]}), tmp_path / "b.parquet")
    one, none = read(tmp_path / "b.parquet").values()
    assert one == b"1"
    assert str(none) == f"row 1 of `{tmp_path}/b.parquet` holds no picture. Leave it out."
    for packed in (pa.array([b"1", b"2", b"1"]).dictionary_encode(), pa.array([b"1", b"2", b"1"], pa.binary_view())):
        pq.write_table(pa.table({"image": packed}), tmp_path / "packed.parquet")
        assert list(read(tmp_path / "packed.parquet").values()) == [b"1", b"2", b"1"]
    twice = pa.table([pa.array([b"1"]), pa.array([b"2"])], names=["image", "image"])
    pq.write_table(twice, tmp_path / "twice.parquet")
    with pytest.raises(DataError, match="may hold pictures: image, image"):
        read(tmp_path / "twice.parquet")
    pq.write_table(pa.table({"x": [b"1"], "y": [b"2"]}), tmp_path / "c.parquet")
    with pytest.raises(DataError, match=r"may hold pictures: x, y\. Call the one that does `image`"):
        read(tmp_path / "c.parquet")
    (tmp_path / "d.parquet").write_text("no table")
    with pytest.raises(DataError, match="is no Parquet file"):
        read(tmp_path / "d.parquet")


@pytest.mark.parametrize("cut_at", [5_000, 1_536, 700, 100])
def test_a_tar_that_is_cut_short(tmp_path: Path, cut_at: int) -> None:
    as_tar(tmp_path / "a.tar")
    (tmp_path / "a.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:cut_at])
    with pytest.raises(DataError, match="is damaged or cut short, or no tar archive"):
        read(tmp_path / "a.tar")


def test_a_tar_that_goes_on_behind_its_end(tmp_path: Path) -> None:
    as_tar(tmp_path / "a.tar")
    packed = bytearray((tmp_path / "a.tar").read_bytes())
    at = packed.find(b"b.png")
    packed[at : at + tarfile.BLOCKSIZE] = bytes(tarfile.BLOCKSIZE)
    for content in (packed, 2 * (tmp_path / "a.tar").read_bytes()):
        (tmp_path / "a.tar").write_bytes(content)
        with pytest.raises(DataError, match="goes on behind its end"):
            read(tmp_path / "a.tar")


def test_files_of_one_name_in_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive, warnings.catch_warnings(action="ignore"):
        for name, content in (("a.png", b"1"), ("b\nc.png", b"2"), ("a.png", b"3")):
            archive.writestr(name, content)
    files = find_files(str(tmp_path))
    found = [each for part in cut(files.each(), files.root, 2, named=False) for each in read_slice(part, files.root)]
    assert found == [("a.zip/a.png", b"1"), ("a.zip/a.png", b"3"), (r"a.zip/b\x0ac.png", b"2")]


def test_what_is_damaged_in_a_zip_is_one_picture(tmp_path: Path) -> None:
    as_zip(tmp_path / "a.zip")
    packed = bytearray((tmp_path / "a.zip").read_bytes())
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        at = archive.getinfo("b.png").header_offset
    packed[at + 40] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(packed)
    found = read(tmp_path / "a.zip")
    assert [name for name, each in found.items() if isinstance(each, DataError)] == ["a.zip/b.png"]


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
