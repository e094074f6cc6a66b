"""The same pictures in a folder, archives and tables, and how they are read."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vitreous.data.sources.slices import Slice, cut, find_files, read_slice
from vitreous.errors import DataError

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
