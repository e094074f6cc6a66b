"""Every published layout with a few pictures in it, written to a folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

from tests.data.test_labelled import archive
from vitreous.data.readers.voc import CLASSES

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
