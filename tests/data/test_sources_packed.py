"""Pictures in archives and tables: whole, damaged and odd."""

from __future__ import annotations

import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.packed import FILES, as_archive, as_parquet, as_tar, as_zip, read
from vitreous.data.sources.slices import cut, find_files, read_slice
from vitreous.errors import DataError, ExplainWarning


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


def test_an_archive_without_pictures_is_left_out_with_a_line(tmp_path: Path) -> None:
    zipfile.ZipFile(tmp_path / "none.zip", "w").close()
    with pytest.raises(DataError, match="leads to no picture"):
        read(tmp_path)
    as_zip(tmp_path / "some.zip")
    with pytest.warns(ExplainWarning, match=r"left out: `none\.zip`"):
        assert len(read(tmp_path)) == len(FILES)


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
