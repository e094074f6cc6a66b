"""Every reader on a tree of three pictures in the layout that is published, and on trees with something missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.test_labelled import medmnist
from tests.data.trees import (
    BOX,
    EXPECTED,
    OBJECT,
    SIZE,
    TREES,
    coco,
    cub,
    folder,
    ilsvrc,
    listed,
    mask,
    npz,
    table,
    write,
    xml,
)
from vitreous.data.readers import DATASETS, open_samples
from vitreous.errors import DataError, UnknownName


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


@pytest.mark.parametrize("column", ["label", "class"])
def test_a_table_whose_labels_are_names_beside_its_pictures(tmp_path: Path, column: str) -> None:
    for name in ("a.jpg", "scans/b.jpg", "c.jpg"):
        write(tmp_path / name)
    rows = f"file,{column}\na.jpg,owl\nscans/b.jpg,hen\nc.jpg,\n"
    samples = open_samples(f"table:{write(tmp_path / 'labels.csv', rows)}")
    assert samples.class_names == ("hen", "owl")
    assert [samples[at].label for at in range(3)] == [1, 0, None]


def test_a_data_set_without_its_kind(tmp_path: Path) -> None:
    file = write(tmp_path / "labels.csv", "file,label\n")
    with pytest.raises(DataError, match=f"Give table:{file}"):
        open_samples(str(file))
    with pytest.raises(DataError, match=f"Give folder:{tmp_path}"):
        open_samples(str(tmp_path))


def test_a_folder_may_be_a_link(tmp_path: Path) -> None:
    spec = folder(tmp_path / "set")
    (tmp_path / "set/hen").rename(tmp_path / "elsewhere")
    (tmp_path / "set/hen").symlink_to(tmp_path / "elsewhere")
    assert len(open_samples(spec)) == 3


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


@pytest.mark.parametrize("packed", [False, True])
def test_splits_are_not_taken_for_classes(tmp_path: Path, packed: bool) -> None:
    for part in ("train", "val"):
        folder(tmp_path / "set" / part)
    place = f"{shutil.make_archive(str(tmp_path / 'set'), 'zip', tmp_path / 'set')}" if packed else tmp_path / "set"
    with pytest.raises(DataError, match=rf"`train` in .* If it is a split, name it: folder:{place}:train\. Use CLASS/"):
        open_samples(f"folder:{place}")
    samples = open_samples(f"folder:{place}:val")
    assert samples.class_names == ("cat", "hen")
    assert samples.fingerprint == open_samples(folder(tmp_path / "alone")).fingerprint
    folder(tmp_path / "deep" / "val" / "2024")
    with pytest.raises(DataError, match=r"`2024` in .*val` holds folders and no pictures.* no class\. Use CLASS/"):
        open_samples(f"folder:{tmp_path / 'deep'}:val")


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
    write(tmp_path / "ILSVRC/val.txt", "ILSVRC2012_val_1.JPEG 65\nILSVRC2012_val_2.JPEG 970\n")
    with pytest.raises(DataError, match="says `65` of `ILSVRC2012_val_1`, which is no WordNet id"):
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


@pytest.mark.parametrize("kind", ["ilsvrc", "voc"])
def test_boxes_of_published_annotations_that_are_no_rectangles(tmp_path: Path, kind: str) -> None:
    """One pixel wide, a box is a box; with swapped corners it is none."""
    spec = TREES[kind](tmp_path)
    file = min(tmp_path.rglob("*.xml"))
    thin = "<xmin>2</xmin><ymin>1</ymin><xmax>2</xmax><ymax>3</ymax>"
    swapped = "<xmin>5</xmin><ymin>1</ymin><xmax>2</xmax><ymax>3</ymax>"
    both = xml("cat", box=thin).replace("</annotation>", xml("cat", box=swapped).partition("</size>")[2])
    for text, boxes in ((both, [[2, 1, 3, 3]]), (xml("cat", box=swapped), None)):
        write(file, text)
        found = {entry.id: entry.boxes for entry in open_samples(spec).entries}[file.stem]
        assert (None if found is None else found.tolist()) == boxes


def test_run_lengths_in_letters(tmp_path: Path) -> None:
    """COCO writes crowds as numbers and results as letters: 9 2 2, then differences from the run before the last."""
    spec = coco(tmp_path)
    path = tmp_path / "annotations/instances_val2017.json"
    values = json.loads(path.read_text())
    values["annotations"][3]["segmentation"]["counts"] = "9220003"
    path.write_text(json.dumps(values))
    assert np.array_equal(open_samples(spec)[1].mask, OBJECT == 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA"])
def test_a_gray_mask_may_have_more_channels(tmp_path: Path, mode: str) -> None:
    spec = folder(tmp_path)
    write(tmp_path / "masks/hen/b.png", mask(255).convert(mode))
    assert np.array_equal(open_samples(spec)[1].mask, OBJECT == 1)  # type: ignore[arg-type]


def test_an_archive_of_medmnist_has_three_splits_and_no_boxes(tmp_path: Path) -> None:
    samples = open_samples(f"npz:{medmnist(tmp_path / 'm.npz')}:test")
    assert [(entry.id, entry.label, entry.boxes) for entry in samples.entries] == [
        ("test/0", 0, None),
        ("test/1", 1, None),
    ]
    assert samples[1].picture.getpixel((0, 0)) == (150, 150, 150)


def test_a_reader_of_ones_own(tmp_path: Path) -> None:
    kind, _, place = folder(tmp_path).partition(":")
    own = open_samples(f"vitreous.data.readers.folder:read_folder:{place}")
    assert own.fingerprint == open_samples(f"{kind}:{place}").fingerprint
    with pytest.raises(UnknownName, match="no kind of data set named"):
        open_samples(f"vitreous.data.readers.folder:read_nothing:{place}")
    with pytest.raises(DataError, match=r"gave a `PosixPath`.*Let it return"):
        open_samples(f"tests.data.trees:write:{tmp_path / 'new'}")


@pytest.mark.parametrize("spec", ["s3://bucket.of/x", "folder:https://a.b/c"])
def test_an_address_is_told(spec: str) -> None:
    with pytest.raises(DataError, match="is an address"):
        open_samples(spec)
