"""Pictures and labelled sets, with small whole files of every kind."""

from __future__ import annotations

import functools
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow
from pyarrow import parquet

from tests.data.test_labelled import archive
from tests.data.trees import TREES
from tests.medical.made import body, dicom, volume
from tests.readers.read import Read
from tests.tiny import noise
from vitreous.data.finding import find_pictures
from vitreous.data.labelled import load_labelled
from vitreous.data.objects import read_scenes
from vitreous.data.pictures import open_encoded, open_picture
from vitreous.data.readers import open_samples
from vitreous.data.sources.slices import cut, find_files, read_slice


def _samples(kind: str, root: Path) -> Read:
    spec = TREES[kind](root)
    return lambda: [entry.open() for entry in open_samples(spec).entries]


def _picture(suffix: str, root: Path) -> Read:
    file = root / f"a{suffix}"
    noise(1).save(file)
    return lambda: open_picture(file)


def _labelled(root: Path) -> Read:
    return _pictures_of(Path(TREES["npz"](root).partition(":")[2]))


def _scenes(root: Path) -> Read:
    TREES["coco"](root)
    return lambda: [scene.objects() for scene in read_scenes(root, "val2017").scenes]


def _training_folder(root: Path) -> Read:
    for part in ("train", "val"):
        for at, kind in enumerate(("cat", "hen")):
            (root / part / kind).mkdir(parents=True)
            noise(at, (6, 4)).save(root / part / kind / "a.png")
    return _pictures_of(root)


def _class_table(root: Path) -> Read:
    archive(root / "set.npz")
    (root / "classes.csv").write_text('label,words\n0,cat\n1,"hen, chicken"\n', encoding="utf-8")
    return _pictures_of(root / "set.npz")


def _pictures_of(place: Path) -> Read:
    return lambda: [
        picture for split in load_labelled(place)[:2] for picture in map(split.__getitem__, range(len(split)))
    ]


def _source(kind: str, root: Path) -> Read:
    """Pictures of a batch, wherever they lie."""
    MADE[kind](root / f"set{kind}")

    def read() -> None:
        files = find_files(str(root / f"set{kind}"))
        for part in cut(files.each(), files.root, 2, named=files.named):
            for name, encoded in read_slice(part, files.root):
                if isinstance(encoded, bytes):
                    open_encoded(encoded, name)

    return read


def _dicom(root: Path) -> Read:
    path = dicom(root / "a.dcm", body(8), WindowCenter=[40, 50], WindowWidth=[400, 80], PixelPaddingValue=-1000)
    return lambda: open_picture(path)


def _frames(root: Path) -> Read:
    path = dicom(root / "a.dcm", body(8)[None].repeat(3, 0), RescaleSlope=2, RescaleIntercept=-1)
    return lambda: [open_picture(each) for each in find_pictures([path / "1:4"])]


def _nifti(root: Path) -> Read:
    path = volume(root / "a.nii", body(8)[None].repeat(3, 0))
    return lambda: [open_picture(each) for each in find_pictures([path / "axial"])]


def _listed(path: Path) -> None:
    noise(0, (8, 8)).save(path.with_name("a.png"))
    path.write_text(f"a.png\n\n{path.with_name('a.png').absolute()}\n", encoding="utf-8")


def _zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for at in range(3):
            archive.writestr(f"{at}.png", png(at))


def _tarred(path: Path) -> None:
    with tarfile.open(path, "w") as archive:
        for at in range(3):
            member = tarfile.TarInfo(f"{at}.png")
            member.size = len(png(at))
            archive.addfile(member, io.BytesIO(png(at)))


def _tabled(path: Path) -> None:
    parquet.write_table(pyarrow.table({"image": [{"bytes": png(at), "path": f"{at}.png"} for at in range(3)]}), path)


def png(seed: int) -> bytes:
    noise(seed, (8, 8)).save(made := io.BytesIO(), "png")
    return made.getvalue()


MADE: dict[str, Callable[[Path], None]] = {".txt": _listed, ".zip": _zipped, ".tar": _tarred, ".parquet": _tabled}


PICTURES: dict[str, Callable[[Path], Read]] = {
    **{kind: functools.partial(_samples, kind) for kind in TREES},
    **{f"picture{suffix}": functools.partial(_picture, suffix) for suffix in (".png", ".jpg", ".gif", ".tif", ".webp")},
    "labelled": _labelled,
    "scenes": _scenes,
    "training folder": _training_folder,
    "class table": _class_table,
    **{f"pictures{suffix}": functools.partial(_source, suffix) for suffix in MADE},
    "dicom": _dicom,
    "frames": _frames,
    "nifti": _nifti,
}
