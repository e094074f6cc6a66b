"""Data sets that are not laid out as published, and files that are not what they say: each is told."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from PIL import Image

from tests.data.trees import (
    SIZE,
    TREES,
    cub,
    folder,
    imagenet_seg,
    npz,
    table,
    voc,
    write,
    xml,
)
from vitreous.data.readers import open_samples
from vitreous.data.root import Root
from vitreous.data.samples import Entry, Samples
from vitreous.errors import DataError, UnknownName

WRONG: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a loose picture": ("folder", lambda root: write(root / "x.jpg"), r"outside the class folders: `x\.jpg`"),
    "a box of nothing": (
        "folder",
        lambda root: write(root / "boxes.csv", "file,x0,y0,x1,y1\nhen/x.jpg,1,1,2,2\n"),
        r"a box for `hen/x\.jpg`, which is not there",
    ),
    "a column": ("folder", lambda root: write(root / "boxes.csv", "file,x0,y0,x1\n"), "has no column `y1`"),
    "a word": (
        "folder",
        lambda root: write(root / "boxes.csv", "file,x0,y0,x1,y1\nhen/b.jpg,1,1,two,2\n"),
        r"`x1` is 'two' in row 2 of `boxes\.csv`",
    ),
    "a short row": (
        "folder",
        lambda root: write(root / "boxes.csv", "file,x0,y0,x1,y1\nhen/b.jpg,1\n"),
        "row 2 .* is too short",
    ),
    "a flat box": (
        "folder",
        lambda root: write(root / "boxes.csv", "file,x0,y0,x1,y1\nhen/b.jpg,3,1,3,2\n"),
        "a box of no width or height",
    ),
    "no pictures": ("table", lambda root: shutil.rmtree(root / "images"), "lie neither in `images`"),
    "one label no number": (
        "table",
        lambda root: write(root / "list.csv", "file,label\na.jpg,0\nb.jpg,hen\n"),
        "`label` is 'hen' in row 3",
    ),
    "a label": ("table", lambda root: write(root / "list.csv", "file,label\na.jpg,-1\n"), "`label` is '-1' in row 2"),
    "no lists": ("voc", lambda root: shutil.rmtree(root / "ImageSets"), "Give the folder VOC2012 itself"),
    "no annotation": ("voc", lambda root: (root / "Annotations/2007_1.xml").unlink(), r"2007_1\.xml"),
    "another class": ("voc", lambda root: write(root / "Annotations/2007_1.xml", xml("cow", "yak")), "of class yak"),
    "no XML": ("voc", lambda root: write(root / "Annotations/2007_1.xml", "<annotation>"), "is no annotation"),
    "no corner": ("voc", lambda root: write(root / "Annotations/2007_1.xml", xml("cat", box="")), "is no annotation"),
    "no list": ("cub", lambda root: (root / "images.txt").unlink(), "Give the folder CUB_200_2011 itself"),
    "no box": (
        "cub",
        lambda root: write(root / "bounding_boxes.txt", "1 0 0 2 2\n"),
        r"`bounding_boxes\.txt` in .* says nothing of image 2",
    ),
    "no numbers": (
        "cub",
        lambda root: write(root / "bounding_boxes.txt", "1 0 0 2 2\n2 a\n3 1 1 1 1\n"),
        "no four numbers",
    ),
    "no folder": ("ilsvrc", lambda root: shutil.rmtree(root / "Data"), "Give the folder that holds Data"),
    "no JSON": ("coco", lambda root: write(root / "annotations/instances_val2017.json", "{"), "is not JSON"),
    "no list of pictures": ("listed", lambda root: write(root / "list.json", '{"images": []}'), "no 'categories'"),
    "no pictures listed": ("listed", lambda root: write(root / "list.json", "[]"), "is no list of pictures"),
    "no key": (
        "coco",
        lambda root: write(root / "annotations/instances_val2017.json", '{"categories": []}'),
        "no file of instances: no 'annotations'",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_another_layout_is_refused(tmp_path: Path, case: str) -> None:
    kind, change, message = WRONG[case]
    spec = TREES[kind](tmp_path / "set")
    change(tmp_path / "set")
    with pytest.raises(DataError, match=message):
        open_samples(spec)[0]


@pytest.mark.parametrize("kind", TREES)
def test_a_place_where_nothing_is(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DataError, match=r"no (folder or zip archive|data set|table|lists|file)"):
        open_samples(f"{kind}:{tmp_path / 'nowhere'}")


def test_names_that_are_not_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r'no kind of data set named "vox"\. Did you mean "voc"'):
        open_samples("vox:somewhere")
    for tree, known in ((voc, "val"), (cub, "test, train"), (npz, "train, val"), (table, "test, train")):
        with pytest.raises(UnknownName, match=f'no split named "dev".*Known: {known}'):
            open_samples(f"{tree(tmp_path / tree.__name__)}:dev")


def test_masks_that_do_not_fit(tmp_path: Path) -> None:
    spec = folder(tmp_path)
    write(tmp_path / "masks/hen/b.png", Image.new("L", (6, 5)))
    with pytest.raises(DataError, match="has 6×5 pixels, its picture 6×4"):
        open_samples(spec)[1]
    for mode, color in (("RGB", (0, 9, 0)), ("LA", (9, 0)), ("RGBA", (9, 9, 9, 254))):
        write(tmp_path / "masks/hen/b.png", Image.new(mode, SIZE, color))
        with pytest.raises(DataError, match=f"a mask with the channels {mode}"):
            open_samples(spec)[1]


def test_one_name_for_two_pictures() -> None:
    def never() -> Image.Image:
        raise AssertionError

    with pytest.raises(DataError, match="two pictures named `a`"):
        Samples("made up", (), [Entry("a", never), Entry("a", never)])
    with pytest.raises(DataError, match="holds no picture"):
        Samples("made up", (), [])


def test_what_is_no_matlab_file(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match='no split named "val"'):
        open_samples(f"{imagenet_seg(tmp_path)}:val")
    write(tmp_path / "text.mat", "hello")
    with pytest.raises(DataError, match=r"is not gtsegs_ijcv\.mat"):
        open_samples(f"imagenet_seg:{tmp_path / 'text.mat'}")
    with h5py.File(tmp_path / "other.mat", "w") as file:
        file["other"] = 1
    with pytest.raises(DataError, match=r"is not gtsegs_ijcv\.mat"):
        open_samples(f"imagenet_seg:{tmp_path / 'other.mat'}")


def test_damaged_archives(tmp_path: Path) -> None:
    (tmp_path / "bad.zip").write_bytes(b"PK nonsense")
    with pytest.raises(DataError, match="is no zip archive"):
        open_samples(f"folder:{tmp_path / 'bad.zip'}")
    with zipfile.ZipFile(tmp_path / "good.zip", "w") as file:
        file.writestr("a.txt", b"\xff\xfe")
    root = Root(tmp_path / "good.zip")
    with pytest.raises(DataError, match=r"has no file `b\.txt`"):
        root.read("b.txt")
    with pytest.raises(DataError, match="is not UTF-8"):
        root.text("a.txt")
    assert io.BytesIO(root.read("a.txt")).read() == b"\xff\xfe"
