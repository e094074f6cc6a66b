from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vitreous.data.labelled import LabelledPictures, load_labelled, load_split
from vitreous.errors import DataError, UnknownName


def encoded(gray: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.new("L", (6, 4), gray).save(buffer, "PNG")
    return np.frombuffer(buffer.getvalue(), np.uint8)


def archive(path: Path, **changes: Any) -> Path:
    """Four pictures, 0 50 100 150 gray, two classes, the last two for validation."""
    files = [encoded(50 * at) for at in range(4)]
    values: dict[str, Any] = {
        "jpeg": np.concatenate(files),
        "offset": np.cumsum([0, *map(len, files)]),
        "label": np.array([0, 1, 0, 1]),
        "split": np.array([0, 0, 1, 1], np.uint8),
    }
    np.savez(path, **{name: value for name, value in {**values, **changes}.items() if value is not None})
    return path


def medmnist(path: Path, **changes: Any) -> Path:
    """Per split two pictures of 5 × 4, gray, class 0 and class 1; brighter from split to split."""
    values: dict[str, Any] = {}
    for at, split in enumerate(("train", "val", "test")):
        values[f"{split}_images"] = np.array([[[60 * at]], [[60 * at + 30]]], np.uint8).repeat(5, 1).repeat(4, 2)
        values[f"{split}_labels"] = np.array([[0], [1]], np.uint8)
    np.savez(path, **{name: value for name, value in {**values, **changes}.items() if value is not None})
    return path


def contents(pictures: LabelledPictures) -> list[tuple[tuple[int, int, int], int]]:
    return [(pictures[at][0].getpixel((0, 0)), pictures[at][1]) for at in range(len(pictures))]  # type: ignore[misc]


def test_an_archive_is_split_and_read(tmp_path: Path) -> None:
    train, val, fingerprint = load_labelled(archive(tmp_path / "a.npz"))
    assert contents(train) == [((0, 0, 0), 0), ((50, 50, 50), 1)]
    assert contents(val) == [((100, 100, 100), 0), ((150, 150, 150), 1)]
    assert train.class_names == val.class_names == ("class 0", "class 1")
    assert fingerprint == load_labelled(tmp_path / "a.npz")[2]
    assert len(fingerprint) == 64


def test_class_names_come_from_the_archive_or_the_table_beside_it(tmp_path: Path) -> None:
    (tmp_path / "classes.csv").write_text('label,wnid,words\n1,n2,"tabby, tabby cat"\n0,n1,koala\n', encoding="utf-8")
    assert load_labelled(archive(tmp_path / "a.npz"))[0].class_names == ("koala", "tabby")
    assert load_labelled(archive(tmp_path / "b.npz", classes=["dark", "light"]))[0].class_names == ("dark", "light")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"split": None}, "has no array `split`"),
        ({"label": np.array([0, 1])}, "2 labels, 4 splits and 5 offsets"),
        ({"offset": np.array([0, 9, 9, 9, 9])}, r"offsets into \d+ bytes"),
        ({"split": np.zeros(4)}, "no picture to validate with"),
        ({"split": np.ones(4)}, "no picture to train with"),
        ({"classes": ["dark"]}, "labels from 0 to 1 and 1 class names"),
        ({"label": np.array(["0", "1", "0", "1"], object)}, "`label` in .* holds object, not plain numbers"),
    ],
)
def test_an_archive_of_another_layout_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_labelled(archive(tmp_path / "a.npz", **changes))


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no data set at"):
        load_labelled(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(DataError, match="is no npz archive"):
        load_labelled(tmp_path / "text.npz")
    (tmp_path / "classes.csv").write_text("label,name\n0,koala\n")
    with pytest.raises(DataError, match="has no column `words`"):
        load_labelled(archive(tmp_path / "a.npz"))


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    good = encoded(9)
    jpeg, offset = np.concatenate([good, good[:20]]), np.array([0, len(good), len(good) + 20])
    path = archive(tmp_path / "a.npz", jpeg=jpeg, offset=offset, label=np.zeros(2, int), split=np.arange(2))
    with pytest.raises(DataError, match="picture 1 of the archive is damaged"):
        load_labelled(path)[1][0]


def write_folder(root: Path, *names: str) -> Path:
    for at, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6, 4), at).save(root / name)
    return root


def test_a_folder_of_folders(tmp_path: Path) -> None:
    root = write_folder(tmp_path, "train/owl/b.png", "train/owl/a.png", "train/cat/c.jpg", "val/owl/d.png")
    (root / "train" / "owl" / "notes.txt").write_text("not a picture")
    train, val, fingerprint = load_labelled(root)
    assert train.class_names == ("cat", "owl")
    assert contents(train) == [((2, 2, 2), 0), ((1, 1, 1), 1), ((0, 0, 0), 1)]
    assert contents(val) == [((3, 3, 3), 1)]
    write_folder(root, "val/cat/e.png")
    assert load_labelled(root)[2] != fingerprint


@pytest.mark.parametrize("name", ["valid", "validation"])
def test_the_folder_to_validate_with_has_several_names(tmp_path: Path, name: str) -> None:
    root = write_folder(tmp_path, "train/owl/a.png", "train/cat/b.png", f"{name}/owl/c.png")
    train, val, _ = load_labelled(root)
    assert (len(train), val.labels) == (2, [1])
    write_folder(root, "val/cat/d.png")
    with pytest.raises(DataError, match=f"has `val` and `{name}`, and either could be the one"):
        load_labelled(root)


def test_a_folder_of_another_layout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no folder `train`"):
        load_labelled(tmp_path)
    root = write_folder(tmp_path, "train/owl/a.png", "val/owl/b.png", "val/cat/c.png")
    with pytest.raises(DataError, match="a class that `train` lacks: cat"):
        load_labelled(root)
    (tmp_path / "other" / "train").mkdir(parents=True)
    (tmp_path / "other" / "val").mkdir()
    with pytest.raises(DataError, match="has no class folders"):
        load_labelled(tmp_path / "other")


def test_an_archive_of_medmnist_is_read_as_rgb(tmp_path: Path) -> None:
    train, val, fingerprint = load_labelled(medmnist(tmp_path / "a.npz"))
    assert contents(train) == [((0, 0, 0), 0), ((30, 30, 30), 1)]
    assert contents(val) == [((60, 60, 60), 0), ((90, 90, 90), 1)]
    assert train[0][0].size == (4, 5)
    test, same = load_split(tmp_path / "a.npz", "test")
    assert contents(test) == [((120, 120, 120), 0), ((150, 150, 150), 1)]
    assert same == fingerprint
    colors = np.zeros((2, 5, 4, 3), np.uint8) + np.array([9, 8, 7], np.uint8)
    assert contents(load_labelled(medmnist(tmp_path / "b.npz", train_images=colors))[0])[0] == ((9, 8, 7), 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"test_images": None}, "has no array `test_images`"),
        ({"val_labels": np.zeros((2, 14), np.uint8)}, r"val images uint8 \(2, 5, 4\) and labels \(2, 14\)"),
        ({"train_images": np.zeros((2, 5, 4, 4), np.uint8)}, r"train images uint8 \(2, 5, 4, 4\)"),
        ({"train_images": np.zeros((2, 5, 4))}, "train images float64"),
        ({"classes": ["dark"]}, "labels from 0 to 1 and 1 class names"),
    ],
)
def test_an_archive_of_medmnist_with_other_contents_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        load_labelled(medmnist(tmp_path / "a.npz", **changes))


def test_only_what_has_test_pictures_has_a_test_split(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r'no split named "test"\..* Known: train, val\.'):
        load_split(archive(tmp_path / "a.npz"), "test")
    tested, _ = load_split(archive(tmp_path / "b.npz", split=np.array([0, 1, 2, 2], np.uint8)), "test")
    assert contents(tested) == [((100, 100, 100), 0), ((150, 150, 150), 1)]


def test_test_pictures_that_came_later_do_not_make_a_folder_another(tmp_path: Path) -> None:
    for split in ("train", "val"):
        (tmp_path / split / "hen").mkdir(parents=True)
        Image.new("RGB", (2, 2)).save(tmp_path / split / "hen" / "a.png")
    before = load_labelled(tmp_path)[2]
    (tmp_path / "test" / "hen").mkdir(parents=True)
    Image.new("RGB", (2, 2), "white").save(tmp_path / "test" / "hen" / "b.png")
    assert load_labelled(tmp_path)[2] == before
    assert contents(load_split(tmp_path, "test")[0]) == [((255, 255, 255), 0)]


def test_one_split_is_enough_where_no_other_is_asked_for(tmp_path: Path) -> None:
    root = write_folder(tmp_path, "test/owl/a.png", "test/cat/b.png")
    tested, fingerprint = load_split(root, "test")
    assert (tested.class_names, tested.labels) == (("cat", "owl"), [0, 1])
    write_folder(root, "test/cat/c.png")
    assert load_split(root, "test")[1] != fingerprint
    with pytest.raises(DataError, match=r"no folder `val`\. Lay it out as val/CLASS/\*\.jpg\."):
        load_split(root, "val")
    other = write_folder(tmp_path / "other", "valid/owl/a.png")
    for split in ("val", "valid", "validation"):
        assert load_split(other, split)[0].class_names == ("owl",)


def test_labels_are_known_without_decoding(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "folder", "train/owl/a.png", "train/cat/b.png", "val/owl/c.png")
    rng = np.random.default_rng(0)
    pixels = {f"{split}_images": rng.integers(0, 255, (4, 8, 8), dtype=np.uint8) for split in ("train", "val", "test")}
    np.savez(
        tmp_path / "medmnist.npz",
        **pixels,
        **{name.replace("images", "labels"): [[0], [1], [1], [0]] for name in pixels},
    )
    for place in (root, archive(tmp_path / "a.npz"), tmp_path / "medmnist.npz"):
        train = load_labelled(place)[0]
        assert list(train.labels) == [train[at][1] for at in range(len(train))]
