"""ILSVRC 2012 (ImageNet-1k) with its XML boxes."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from vitreous.data.readers.folder import load_picture
from vitreous.data.readers.voc import boxes_of, read_objects
from vitreous.data.root import Root, Stored
from vitreous.data.samples import Boxes, Entry, Samples
from vitreous.errors import DataError

__all__ = ["read_ilsvrc"]

_LISTS = ("LOC_val_solution.csv", "val.txt")


def read_ilsvrc(path: Path, split: str) -> Samples:
    """The folder ILSVRC with Data/CLS-LOC and Annotations/CLS-LOC, as Kaggle packs it.

    The split is `val` unless another is asked for. Its pictures lie in folders by WordNet id, or flat; then
    LOC_val_solution.csv beside ILSVRC or in it (ImageId, PredictionString), or a val.txt (name, then WordNet id), says
    which is which. Labels are by sorted WordNet id. Every object of a picture has a box, whatever its class; a picture
    without an annotation has none. Boxes are taken as they are written.

    Raises:
        DataError: nothing is there, or its layout is another.
    """
    split = split or "val"
    root, pictures = Root(path), f"Data/CLS-LOC/{split}/"
    names = root.pictures(pictures)
    if not names:
        raise DataError(f"`{path}` has no pictures in {pictures}. Give the folder that holds Data and Annotations.")
    inner = [name.removeprefix(pictures) for name in names]
    listed = {} if all("/" in name for name in inner) else _listed(root)
    kinds = [_kind(name, listed) for name in inner]
    known = {
        name.split("/")[3] for name in root.files if name.startswith("Data/CLS-LOC/train/") and name.count("/") > 3
    }
    classes = tuple(sorted(known | set(kinds) | set(listed.values())))
    number = {kind: at for at, kind in enumerate(classes)}
    annotations = {PurePosixPath(name).stem: name for name in root.files if _is_annotation(name, split)}
    entries = [
        Entry(
            PurePosixPath(name).stem,
            Stored(load_picture, root, name),
            number[kind],
            _boxes(root, annotations.get(PurePosixPath(name).stem)),
        )
        for name, kind in zip(names, kinds, strict=True)
    ]
    return Samples(f"ilsvrc:{path}:{split}", classes, entries)


def _is_annotation(name: str, split: str) -> bool:
    return name.startswith(f"Annotations/CLS-LOC/{split}/") and name.endswith(".xml")


def _boxes(root: Root, name: str | None) -> Boxes | None:
    return boxes_of(read_objects(root, name), name) if name else None


def _kind(name: str, listed: dict[str, str]) -> str:
    """The WordNet id of a picture: its folder, or what the list says."""
    folder, slash, _ = name.rpartition("/")
    stem = PurePosixPath(name).stem
    if slash:
        return folder.rpartition("/")[2]
    if stem not in listed:
        raise DataError(f"the list says nothing of `{stem}`. Give a complete {_LISTS[0]} or {_LISTS[1]}.")
    return listed[stem]


def _is_wordnet(kind: str) -> bool:
    return kind[0] == "n" and kind[1:].isdigit()


def _listed(root: Root) -> dict[str, str]:
    """The WordNet id of each picture, from a list."""
    for where in (root, Root(root.path.parent)):
        for name in _LISTS:
            if where.path.is_dir() and not (where.path / name).is_file():
                continue
            if where.path.is_dir() or name in where.files:
                pairs = (line.replace(",", " ").split() for line in where.text(name).splitlines())
                kinds = {
                    PurePosixPath(pair[0]).stem: pair[1] for pair in pairs if len(pair) > 1 and pair[0] != "ImageId"
                }
                if wrong := [item for item in kinds.items() if not _is_wordnet(item[1])]:
                    raise DataError(
                        f"`{name}` says `{wrong[0][1]}` of `{wrong[0][0]}`, which is no WordNet id. Give "
                        f"{_LISTS[0]}, or sort the pictures into folders by WordNet id."
                    )
                return kinds
    raise DataError(
        f"the pictures of `{root.path}` are in no class folders, and nothing says which is which. Put {_LISTS[0]} or "
        f"{_LISTS[1]} (name, then WordNet id) beside Data, or sort the pictures into folders by WordNet id."
    )
