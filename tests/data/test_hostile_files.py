"""Small files that would fill the memory, never end, or quietly give other data: each is refused, and says why."""

from __future__ import annotations

import json
import os
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.data.test_labelled import archive, medmnist, write_folder
from tests.data.trees import coco, folder, imagenet_seg, table, voc, write
from vitreous.data.labelled import load_labelled
from vitreous.data.objects import read_scenes
from vitreous.data.readers import open_samples
from vitreous.data.readers.coco import fill_polygon
from vitreous.data.root import Root
from vitreous.errors import DataError
from vitreous.files import reading
from vitreous.files.reading import read_json, read_toml


def everything(spec: str) -> None:
    """Read all there is."""
    samples = open_samples(spec)
    for at in range(len(samples)):
        samples[at]


def repacked(path: Path, change: Callable[[zipfile.ZipInfo, bytes], tuple[zipfile.ZipInfo, bytes]]) -> Path:
    """An archive whose members were changed, deflated."""
    with zipfile.ZipFile(path) as old:
        members = [change(info, old.read(info)) for info in old.infolist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for info, content in members:
            new.writestr(info.filename, content)
    return path


def bomb(path: Path, name: str, size: int) -> Path:
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file, file.open(name, "w", force_zip64=True) as member:
        for _ in range(size // 2**24):
            member.write(bytes(2**24))
    return path


def lying(content: bytes, shape: tuple[int, ...], kind: str = "|u1") -> bytes:
    """An array that says that it has that shape."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + content


def test_archives_that_grow_out_of_all_proportion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "FREE_BYTES", 2**20)
    zipped = tmp_path / "set.zip"
    with zipfile.ZipFile(zipped, "w") as file:
        file.write(write(tmp_path / "a.jpg"), "hen/a.jpg")
    bomb(zipped, "hen/b.jpg", 2**24)
    assert zipped.stat().st_size < 2**18
    with pytest.raises(DataError, match=r"`hen/b\.jpg` in .* grows from [\d,]+ to 16,777,216 bytes"):
        everything(f"folder:{zipped}")
    bomb(archive(tmp_path / "a.npz", jpeg=None), "jpeg.npy", 2**24)
    with pytest.raises(DataError, match=r"`jpeg\.npy` in .* grows from"):
        load_labelled(tmp_path / "a.npz")


@pytest.mark.parametrize("shape", [(10**12,), (10**30, 10**30), (2**62, 4), (-1,)])
def test_arrays_that_say_they_are_larger_than_they_are(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = archive(tmp_path / "a.npz")
    repacked(path, lambda info, old: (info, lying(b"ab", shape) if info.filename == "label.npy" else old))
    with pytest.raises(DataError, match=r"`label` in .* (says|cannot be read)"):
        load_labelled(path)


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (np.array([0, 1, 0, 10**8]), "are no indices of classes"),
        (np.array([0, 1, 0, 2**63], np.uint64), "are no indices of classes"),
        (np.array([0, 1, 0, 1.7]), "labels float64 that are no indices of classes"),
        (np.array([0, 1, 0, np.nan]), "are no indices of classes"),
        (np.array([0, 1, 0, -1]), "labels from -1 to 1"),
        (np.array(["0", "1", "0", "1"]), "are no indices of classes"),
        (np.array([0j, 1, 0, 1]), "are no indices of classes"),
    ],
)
def test_labels_that_are_none(tmp_path: Path, label: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        load_labelled(archive(tmp_path / "a.npz", label=label))
    with pytest.raises(DataError, match=said):
        load_labelled(medmnist(tmp_path / "b.npz", val_images=np.zeros((4, 5, 4), np.uint8), val_labels=label))


def test_labels_that_are_written_as_numbers_with_a_point_are_taken(tmp_path: Path) -> None:
    train, _, _ = load_labelled(archive(tmp_path / "a.npz", label=np.array([0.0, 1.0, 0.0, 1.0])))
    assert [train[at][1] for at in range(2)] == list(train.labels) == [0, 1]


@pytest.mark.parametrize(
    "changes",
    [
        {"offset": np.array([0, 300, 100, 200, 10**9])},
        {"offset": np.array([0.0, 1.0, 2.0, 3.0, 4.0])},
        {"jpeg": np.zeros(10)},
        {"split": np.array(["train"] * 4)},
        {"label": np.zeros((4, 2))},
        {"classes": np.zeros(0, "U3")},
    ],
)
def test_archives_whose_parts_do_not_fit(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        load_labelled(archive(tmp_path / "a.npz", **changes))


@pytest.mark.parametrize(
    "rows",
    ["1,koala\n2,owl\n", "0,koala\n2,owl\n", "0,koala\n0,owl\n1,cat\n", "0.5,koala\n1,owl\n", "nan,koala\n", "1e9,a\n"],
)
def test_class_names_that_would_go_to_other_classes(tmp_path: Path, rows: str) -> None:
    write(tmp_path / "classes.csv", f"label,words\n{rows}")
    with pytest.raises(DataError, match=r"classes\.csv"):
        load_labelled(archive(tmp_path / "a.npz"))


@pytest.mark.parametrize("label", ["1.7", "100000000", "nan", "inf", "-1"])
def test_a_label_in_a_table_that_is_none(tmp_path: Path, label: str) -> None:
    spec = table(tmp_path)
    write(tmp_path / "list.csv", f"file,label\na.jpg,{label}\n")
    with pytest.raises(DataError, match=r"`label` is .* in row 2"):
        open_samples(spec)
    write(tmp_path / "list.csv", "file,label\na.jpg,1.0\n")
    assert open_samples(spec)[0].label == 1


def test_a_class_called_masks_does_not_vanish(tmp_path: Path) -> None:
    folder(tmp_path)
    write(tmp_path / "masks" / "a.jpg")
    with pytest.raises(DataError, match=r"a picture in `masks` itself: `masks/a\.jpg`.*rename it if it is a class"):
        open_samples(f"folder:{tmp_path}")


def test_a_folder_of_masks_is_no_class_to_train(tmp_path: Path) -> None:
    root = write_folder(tmp_path, "train/owl/a.png", "train/cat/b.png", "val/owl/c.png", "train/masks/owl/a.png")
    assert load_labelled(root)[0].class_names == ("cat", "owl")
    write_folder(tmp_path, "train/masks/d.png")
    assert load_labelled(root)[0].class_names == ("cat", "masks", "owl")


def with_instances(root: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    coco(root)
    path = root / "annotations" / "instances_val2017.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    return root


SEGMENTATIONS: dict[str, Any] = {
    "runs without end": {"size": [4, 6], "counts": [10**12]},
    "runs that take back": {"size": [4, 6], "counts": [30, -6]},
    "runs of another size": {"size": [100000, 100000], "counts": "0"},
    "letters without end": {"size": [4, 6], "counts": "o" * 100_000},
    "letters that are none": {"size": [4, 6], "counts": "\u20ac"},
    "a picture far away": [[1e9, 0.0, 1.0, 1.0, 0.0, 1e9]],
    "no numbers": [["a"] * 6],
}


@pytest.mark.parametrize("kind", SEGMENTATIONS)
def test_segmentations_that_would_fill_the_memory(tmp_path: Path, kind: str) -> None:
    def change(values: dict[str, Any]) -> None:
        for each in values["annotations"]:
            each.update(segmentation=SEGMENTATIONS[kind], category_id=values["annotations"][0]["category_id"])

    with_instances(tmp_path, change)
    with pytest.raises(DataError):
        everything(f"coco:{tmp_path}")
    scenes = read_scenes(tmp_path, "val2017")
    with pytest.raises(DataError):
        [scene.objects() for scene in scenes.scenes]


@pytest.mark.parametrize("side", [10**9, 0, -3, 2.5, "6", True, None])
def test_sizes_of_pictures_that_none_has(tmp_path: Path, side: Any) -> None:
    with_instances(tmp_path, lambda values: [each.update(width=side) for each in values["images"]])
    for read in (lambda: open_samples(f"coco:{tmp_path}"), lambda: read_scenes(tmp_path, "val2017")):
        with pytest.raises(DataError, match=r"is no file of instances"):
            read()


def test_a_polygon_of_many_corners_takes_little_memory() -> None:
    turn = np.linspace(0, 2 * np.pi, 50_000, endpoint=False)
    corners = np.stack([500 + 400 * np.cos(turn), 500 + 400 * np.sin(turn)], 1)
    tracemalloc.start()
    inside = fill_polygon(corners, (1000, 1000))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**26
    assert abs(inside.mean() - np.pi * 0.16) < 1e-3


def test_deep_json_and_toml(tmp_path: Path) -> None:
    deep = write(tmp_path / "deep.json", "[" * 100_000)
    with pytest.raises(DataError, match="nested too deeply"):
        read_json(deep, "Save it again.")
    write(tmp_path / "nan.json", '{"a": NaN}')
    with pytest.raises(DataError, match="NaN is no JSON"):
        read_json(tmp_path / "nan.json", "Save it again.")
    write(tmp_path / "deep.toml", "a = " + "[" * 100_000)
    with pytest.raises(DataError, match="nested too deeply"):
        read_toml(tmp_path / "deep.toml", "recipe")


def test_archives_that_are_encrypted_or_packed_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("hen/a.jpg", b"x" * 100)
    content = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        content[content.index(mark) + at] |= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="is encrypted"):
        Root(path).read("hen/a.jpg")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("hen/a.jpg", bytes(2**20))
    with pytest.raises(DataError, match="packed by method 12"):
        Root(path).read("hen/a.jpg")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("hen/a.jpg", os.urandom(1000))
    path.write_bytes(path.read_bytes().replace(b"PK\x03\x04", b"PK\x03\x05"))
    with pytest.raises(DataError, match="cannot be read"):
        Root(path).read("hen/a.jpg")


def test_hdf5_that_grows_or_points_elsewhere(tmp_path: Path) -> None:
    path = Path(imagenet_seg(tmp_path).removeprefix("imagenet_seg:"))
    with h5py.File(path, "r+") as file:
        huge = file.create_dataset("huge", (3, 40_000, 40_000), "u1", chunks=(1, 1000, 1000))
        file["value/img"][0, 0] = huge.ref
        file["value/img"][1, 0] = file["value"].ref
    for at in range(2):
        with pytest.raises(DataError, match=r"grows from|is not gtsegs_ijcv\.mat"):
            open_samples(f"imagenet_seg:{path}")[at]


def test_xml_that_declares_entities(tmp_path: Path) -> None:
    spec = voc(tmp_path)
    lol = "".join(f'<!ENTITY a{at} "{f"&a{at - 1};" * 10 if at else "x" * 100}">' for at in range(9))
    write(tmp_path / "Annotations/2007_1.xml", f"<!DOCTYPE a [{lol}]><annotation>&a8;</annotation>")
    with pytest.raises(DataError, match="declares entities"):
        open_samples(spec)
    (tmp_path / "Annotations/2007_1.xml").write_bytes(b"<?xml version='1.0' encoding='klingon'?><annotation/>")
    with pytest.raises(DataError, match="is no annotation"):
        open_samples(spec)


def test_tables_that_are_none(tmp_path: Path) -> None:
    spec = table(tmp_path)
    for text in ('file,label\n"' + "a" * 200_000, "file\n\x00", "", "file,file\n"):
        write(tmp_path / "list.csv", text)
        with pytest.raises(DataError):
            everything(spec)
