"""Every reader on a tree of three pictures in the layout that is published, and on trees with something missing."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from tests.data.test_labelled import archive, medmnist
from vitreous.data.readers import DATASETS, open_samples
from vitreous.data.readers.voc import CLASSES
from vitreous.data.samples import Entry, Root, Samples
from vitreous.errors import DataError, UnknownName

SIZE = (6, 4)
OBJECT = np.zeros((4, 6), np.uint8)
OBJECT[1:3, 2:5] = 1
BOX = [[2.0, 1.0, 5.0, 3.0]]


def write(path: Path, contents: str | Image.Image | None = None) -> Path:
    """A text, or a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(contents, str):
        path.write_text(contents, encoding="utf-8")
    else:
        (contents or Image.new("RGB", SIZE, (len(path.name), 9, 9))).save(path)
    return path


def mask(number: int = 1, *, palette: bool = False) -> Image.Image:
    image = Image.fromarray(OBJECT * np.uint8(number))
    if palette:
        image.putpalette([each for gray in range(256) for each in (gray, 0, 255 - gray)])
    return image


def xml(*names: str, box: str = "<xmin>2</xmin><ymin>1</ymin><xmax>5</xmax><ymax>3</ymax>") -> str:
    objects = "".join(f"<object><name>{name}</name><bndbox>{box}</bndbox></object>" for name in names)
    return f"<annotation><size><width>6</width></size>{objects}</annotation>"


def folder(root: Path) -> str:
    for name in ("hen/b.jpg", "cat/a.jpg", "hen/c.jpg"):
        write(root / name)
    write(root / "boxes.csv", "file,x0,y0,x1,y1\nhen/b.jpg,2,1,5,3\n")
    write(root / "masks/hen/b.png", mask(255))
    return f"folder:{root}"


def table(root: Path) -> str:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        write(root / "images" / name)
    write(root / "masks" / "b.png", mask())
    heading = "file,label,class,split,x0,y0,x1,y1,mask\n"
    rows = (
        "a.jpg,1,cat,test,,,,,\nb.jpg,0,hen,train,2,1,5,3,b.png\nc.jpg,0,hen,test,0,0,1,1,\nc.jpg,0,hen,test,2,2,3,3,\n"
    )
    return f"table:{write(root / 'list.csv', heading + rows)}"


def npz(root: Path) -> str:
    root.mkdir(exist_ok=True)
    box = np.array([[0, 0, 0, 0], [0, 0, 0, 0], [2, 1, 4, 2], [0, 0, 0, 0]], np.uint8)
    path = archive(root / "a.npz", box=box, box_valid=np.array([1, 1, 1, 0], bool), classes=["hen", "cat"])
    return f"npz:{path}"


def voc(root: Path) -> str:
    for name, objects in (("2007_1", ("cat",)), ("2007_2", ("dog", "cat")), ("2007_3", ("dog", "dog"))):
        write(root / "Annotations" / f"{name}.xml", xml(*objects))
        write(root / "JPEGImages" / f"{name}.jpg")
    write(root / "SegmentationClass/2007_1.png", mask(CLASSES.index("cat") + 1, palette=True))
    write(root / "ImageSets/Main/val.txt", "2007_1\n2007_2\n2007_3\n")
    write(root / "ImageSets/Main/cat_val.txt", "2007_1 1\n")
    return f"voc:{root}"


def cub(root: Path) -> str:
    files = ("001.Albatross/a.jpg", "002.Gray_Catbird/b.jpg", "002.Gray_Catbird/c.jpg")
    for file in files:
        write(root / "images" / file)
    write(root / "segmentations/002.Gray_Catbird/b.png", mask(60))
    write(root / "classes.txt", "1 001.Albatross\n2 002.Gray_Catbird\n")
    write(root / "images.txt", "".join(f"{at} {file}\n" for at, file in enumerate(files, 1)))
    write(root / "image_class_labels.txt", "1 1\n2 2\n3 2\n")
    write(root / "bounding_boxes.txt", "1 0.0 0.0 2.0 2.0\n2 2.0 1.0 3.0 2.0\n3 1.0 1.0 1.0 1.0\n")
    write(root / "train_test_split.txt", "1 1\n2 0\n3 0\n")
    return f"cub:{root}"


def ilsvrc(root: Path) -> str:
    for at, kind in ((1, "n02"), (2, "n01"), (3, "n02")):
        write(root / f"Data/CLS-LOC/val/{kind}/ILSVRC2012_val_{at}.JPEG", Image.new("RGB", SIZE))
    for at in (1, 2):
        write(root / f"Annotations/CLS-LOC/val/ILSVRC2012_val_{at}.xml", xml("n02"))
    return f"ilsvrc:{root}"


def coco(root: Path) -> str:
    images = [{"id": at, "file_name": f"{at}.jpg", "width": 6, "height": 4} for at in (1, 2, 3)]
    for image in images:
        write(root / "val2017" / image["file_name"])  # type: ignore[arg-type]
    square = [2.0, 1.0, 5.0, 1.0, 5.0, 3.0, 2.0, 3.0]
    # column by column: 9 empty pixels, then 2 of the object and 2 empty, three times; the rest is empty
    runs = [9, 2, 2, 2, 2, 2, 5]

    def thing(image: int, category: int, outline: Any, crowd: int = 0) -> dict[str, Any]:
        box = [2, 1, 3, 2]
        return {"image_id": image, "category_id": category, "segmentation": outline, "iscrowd": crowd, "bbox": box}

    values = {
        "images": images,
        "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
        "annotations": [
            thing(1, 18, [square]),
            thing(2, 18, [square]),
            thing(2, 3, [square]),
            thing(3, 3, {"counts": runs, "size": [4, 6]}, crowd=1),
        ],
    }
    write(root / "annotations/instances_val2017.json", json.dumps(values))
    return f"coco:{root}"


def listed(root: Path) -> str:
    """Two instances of the object, of one class; a picture of two classes; one that nothing is known of."""
    for name in ("val/a.jpg", "val/b.jpg", "val/c.jpg"):
        write(root / "images" / name)
    instances = OBJECT.copy()
    instances[1:3, 3:5] *= 7
    write(root / "instances/val/a.png", Image.fromarray(instances))

    def picture(name: str, *boxes: Any, mask: str | None = None) -> dict[str, Any]:
        found = [{"category": kind, "xyxy": box} for kind, box in boxes]
        return {"file": f"val/{name}.jpg", "split": "val", "boxes": found, "mask": mask}

    images = [
        picture("a", (1, BOX[0]), mask="val/a.png"),
        picture("b", (0, [0, 0, 1, 1]), (1, [2, 2, 3, 3])),
        picture("c"),
    ]
    values = {"categories": {"0": "hen", "1": "cat"}, "images": images}
    return f"listed:{write(root / 'list.json', json.dumps(values))}"


def imagenet_seg(root: Path) -> str:
    """MATLAB's layout: cells are references, arrays are transposed, a picture may have several masks."""
    root.mkdir(exist_ok=True)
    with h5py.File(root / "gtsegs_ijcv.mat", "w") as file:
        pictures = file.create_dataset("value/img", (3, 1), dtype=h5py.ref_dtype)
        masks = file.create_dataset("value/gt", (3, 1), dtype=h5py.ref_dtype)
        for at in range(3):
            pixels = np.full((4, 6, 3), at, np.uint8)
            pictures[at, 0] = file.create_dataset(f"refs/p{at}", data=pixels.transpose(2, 1, 0)).ref
            several = file.create_dataset(f"refs/c{at}", (2, 1), dtype=h5py.ref_dtype)
            several[0, 0] = file.create_dataset(f"refs/m{at}", data=OBJECT.T).ref
            several[1, 0] = file.create_dataset(f"refs/n{at}", data=1 - OBJECT.T).ref
            masks[at, 0] = several.ref
    return f"imagenet_seg:{root / 'gtsegs_ijcv.mat'}"


TREES: dict[str, Callable[[Path], str]] = {
    "coco": coco,
    "cub": cub,
    "folder": folder,
    "ilsvrc": ilsvrc,
    "imagenet_seg": imagenet_seg,
    "listed": listed,
    "npz": npz,
    "table": table,
    "voc": voc,
}
# names, labels, which have boxes, which have masks, and where the one box and mask of all trees are
EXPECTED: dict[str, tuple[list[str], list[Any], list[bool], list[bool], int | None, int | None]] = {
    "coco": (["1.jpg", "3.jpg"], [1, 0], [True, False], [True, True], 0, 1),
    "cub": (["002.Gray_Catbird/b.jpg", "002.Gray_Catbird/c.jpg"], [1, 1], [True, True], [True, False], 0, 0),
    "folder": (["cat/a.jpg", "hen/b.jpg", "hen/c.jpg"], [0, 1, 1], [False, True, False], [False, True, False], 1, 1),
    "ilsvrc": (
        ["ILSVRC2012_val_2", "ILSVRC2012_val_1", "ILSVRC2012_val_3"],
        [0, 1, 1],
        [True, True, False],
        [False, False, False],
        0,
        None,
    ),
    "imagenet_seg": (["0000", "0001", "0002"], [None] * 3, [False] * 3, [True] * 3, None, 2),
    "listed": (
        ["val/a.jpg", "val/b.jpg", "val/c.jpg"],
        [1, None, None],
        [True, True, False],
        [True, False, False],
        0,
        0,
    ),
    "npz": (["val/2", "val/3"], [0, 1], [True, False], [False, False], 0, None),
    "table": (["a.jpg", "b.jpg", "c.jpg"], [1, 0, 0], [False, True, True], [False, True, False], 1, 1),
    "voc": (["2007_1", "2007_3"], [7, 11], [True, True], [True, False], 0, 0),
}


def test_every_reader_has_a_tree() -> None:
    assert set(TREES) == set(EXPECTED) == set(DATASETS)


@pytest.mark.parametrize("kind", TREES)
def test_a_published_layout_is_read(tmp_path: Path, kind: str) -> None:
    samples = open_samples(TREES[kind](tmp_path / "set"))
    names, labels, boxed, masked, box, object_ = EXPECTED[kind]
    opened = [samples[at] for at in range(len(samples))]
    assert [sample.id for sample in opened] == names
    assert [sample.label for sample in opened] == labels
    assert [sample.boxes is not None for sample in opened] == boxed
    assert [sample.mask is not None for sample in opened] == masked
    assert all(sample.picture.mode == "RGB" and sample.picture.size == SIZE for sample in opened)
    if box is not None:
        assert opened[box].boxes.tolist() == BOX  # type: ignore[union-attr]
    if object_ is not None:
        assert np.array_equal(opened[object_].mask, OBJECT == 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [kind for kind in TREES if kind not in ("imagenet_seg", "listed", "npz", "table")])
def test_a_zip_is_read_in_place(tmp_path: Path, kind: str) -> None:
    plain = open_samples(TREES[kind](tmp_path / "set"))
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "set")
    zipped = open_samples(f"{kind}:{archive}/set")
    assert zipped.fingerprint == plain.fingerprint
    assert zipped.class_names == plain.class_names
    assert np.array_equal(np.asarray(zipped[0].picture), np.asarray(plain[0].picture))


def test_a_table_takes_its_pictures_from_a_zip(tmp_path: Path) -> None:
    spec = table(tmp_path)
    shutil.make_archive(str(tmp_path / "images"), "zip", tmp_path / "images")
    shutil.rmtree(tmp_path / "images")
    samples = open_samples(spec)
    assert samples[2].picture.size == SIZE
    assert samples[2].boxes.tolist() == [[0, 0, 1, 1], [2, 2, 3, 3]]  # type: ignore[union-attr]
    assert samples.class_names == ("hen", "cat")


def test_splits(tmp_path: Path) -> None:
    assert [entry.id for entry in open_samples(f"{table(tmp_path / 't')}:test").entries] == ["a.jpg", "c.jpg"]
    assert [entry.id for entry in open_samples(f"{npz(tmp_path / 'n')}:train").entries] == ["train/0", "train/1"]
    assert [entry.id for entry in open_samples(f"{cub(tmp_path / 'c')}:train").entries] == ["001.Albatross/a.jpg"]
    spec = listed(tmp_path / "l")
    assert open_samples(f"{spec}:val").fingerprint == open_samples(spec).fingerprint
    with pytest.raises(UnknownName, match='Did you mean "val"'):
        open_samples(f"{spec}:vla")
    folder(tmp_path / "f" / "val")
    assert len(open_samples(f"folder:{tmp_path / 'f'}:val")) == 3


def test_nothing_is_decoded_before_it_is_asked_for(tmp_path: Path) -> None:
    spec = folder(tmp_path)
    (tmp_path / "cat/a.jpg").write_text("not a picture")
    samples = open_samples(spec)
    assert samples[1].label == 1
    with pytest.raises(DataError, match=r"`cat/a\.jpg` in .* is not a picture"):
        samples[0]


def test_annotated_pictures_are_not_turned(tmp_path: Path) -> None:
    folder(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", SIZE).save(tmp_path / "hen/b.jpg", exif=exif)
    assert open_samples(f"folder:{tmp_path}")[1].picture.size == SIZE


def test_ilsvrc_with_flat_pictures_needs_a_list(tmp_path: Path) -> None:
    spec = ilsvrc(tmp_path / "ILSVRC")
    val = tmp_path / "ILSVRC/Data/CLS-LOC/val"
    nested = open_samples(spec)
    for file in list(val.rglob("*.JPEG")):
        file.rename(val / file.name)
    with pytest.raises(DataError, match="nothing says which is which"):
        open_samples(spec)
    write(tmp_path / "ILSVRC/val.txt", "ILSVRC2012_val_1.JPEG n02\nILSVRC2012_val_2.JPEG n01\n")
    with pytest.raises(DataError, match="says nothing of `ILSVRC2012_val_3`"):
        open_samples(spec)
    rows = "ILSVRC2012_val_1,n02 1 2 3 4\nILSVRC2012_val_2,n01 1 2 3 4\nILSVRC2012_val_3,n02 1 2 3 4\n"
    (tmp_path / "ILSVRC/val.txt").unlink()
    write(tmp_path / "LOC_val_solution.csv", "ImageId,PredictionString\n" + rows)
    flat = open_samples(spec)
    assert {entry.id: entry.label for entry in flat.entries} == {entry.id: entry.label for entry in nested.entries}
    # classes that no validation picture has still count where the training folders are there
    write(tmp_path / "ILSVRC/Data/CLS-LOC/train/n00/x.JPEG", Image.new("RGB", SIZE))
    assert open_samples(spec).class_names == ("n00", "n01", "n02")


def test_run_lengths_in_letters(tmp_path: Path) -> None:
    """COCO writes crowds as numbers and results as letters: 9 2 2, then differences from the run before the last."""
    spec = coco(tmp_path)
    path = tmp_path / "annotations/instances_val2017.json"
    values = json.loads(path.read_text())
    values["annotations"][3]["segmentation"]["counts"] = "9220003"
    path.write_text(json.dumps(values))
    assert np.array_equal(open_samples(spec)[1].mask, OBJECT == 1)  # type: ignore[arg-type]


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
    "no pictures": ("table", lambda root: shutil.rmtree(root / "images"), r"no folder or zip archive|there is no file"),
    "a label": ("table", lambda root: write(root / "list.csv", "file,label\na.jpg,-1\n"), "has label -1"),
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
    "no JSON": ("coco", lambda root: write(root / "annotations/instances_val2017.json", "{"), "no file of instances"),
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
    write(tmp_path / "masks/hen/b.png", Image.new("RGB", SIZE))
    with pytest.raises(DataError, match="a mask with the channels RGB"):
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


def test_an_archive_of_medmnist_has_three_splits_and_no_boxes(tmp_path: Path) -> None:
    samples = open_samples(f"npz:{medmnist(tmp_path / 'm.npz')}:test")
    assert [(entry.id, entry.label, entry.boxes) for entry in samples.entries] == [
        ("test/0", 0, None),
        ("test/1", 1, None),
    ]
    assert samples[1].picture.getpixel((0, 0)) == (150, 150, 150)
