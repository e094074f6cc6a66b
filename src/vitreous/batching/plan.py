"""The plan of a run in its folder: which pictures are in which shard. Written once, and the same ever after."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from vitreous.batching.order import Order, describe_order, hash_of
from vitreous.batching.shards import SHARDS, check_shards
from vitreous.data.sources.places import File, Files, is_address
from vitreous.data.sources.slices import Slice, cut, find_files
from vitreous.errors import DataError
from vitreous.files.ledger import full_path, told_from
from vitreous.files.manifest import MANIFEST, change_manifest, claim, now, read_manifest
from vitreous.files.reading import check_file
from vitreous.files.writing import alone_at, check_writable, to_json, whole_file
from vitreous.settings.layout import Section, as_left
from vitreous.settings.typed import shown

__all__ = ["JOB", "ShardPlan", "read_plan", "settle_plan"]

JOB = "batch"
"""Whose the output folder is."""
_INDEX = "shards.jsonl"
"""Beside the manifest: a line a shard, with its pictures."""
_COUNTED = {"files": int, "files_sha256": str, "pictures": int, "shards": int}
_REMEDY = "Choose another output folder."


@dataclass(frozen=True)
class ShardPlan:
    """What a folder's shards are.

    Attributes:
        folder: of the run.
        root: the folder or address that the pictures lie below.
        hash: of all that rows depend on.
        pictures: in all shards.
        shards: how many.
    """

    folder: Path
    root: str
    hash: str
    pictures: int
    shards: int

    def tasks(self, share: int = 0, of: int = 1) -> Iterator[tuple[int, Slice]]:
        """The number of every shard of a share, and its pictures: they are read as they are asked for."""
        path = self.folder / _INDEX
        check_file(path, _REMEDY)
        with path.open("rb") as lines:
            for number, line in islice(enumerate(lines), share, None, of):
                yield number, Slice.from_json(line, path)


def settle_plan(order: Order, dataset: str, folder: Path) -> ShardPlan:
    """The plan of a folder: made where there is none, and otherwise the one that is there, if it is the same.

    Processes that ask at the same time do so one by one.

    Raises:
        DataError: the folder is another's, cannot be written, or holds shards of other pictures or settings; or the
            pictures cannot be found.
    """
    check_writable(folder)
    check_writable(folder / SHARDS)
    asked = json.loads(to_json(describe_order(order)))
    with alone_at(folder / _INDEX):
        claim(folder, JOB, [_INDEX, SHARDS], begun=_is_empty(folder / SHARDS))
        known: Any = read_manifest(folder).get("plan")
        files = _without_outputs(find_files(dataset), folder)
        if known:
            plan = as_left(known, _COUNTED, folder / MANIFEST)
            about = _resumed(plan, asked, files, folder)
        else:
            about = _made(asked, files, folder, dataset)
    plan = ShardPlan(folder, files.root, hash_of(about), about["pictures"], about["shards"])
    check_shards(folder, plan.shards)
    return plan


def read_plan(folder: Path, root: str) -> ShardPlan:
    """The plan that a run has left in its folder, of pictures that lie below that root now.

    Raises:
        DataError: there is none, or it was changed.
    """
    found = as_left(read_manifest(folder), {"plan": Section, "hash": str}, folder / MANIFEST)
    about = as_left(found["plan"], _COUNTED, folder / MANIFEST)
    return ShardPlan(folder, root, found["hash"], about["pictures"], about["shards"])


def _without_outputs(files: Files, folder: Path) -> Files:
    """The files but for those of the output folder, which may lie among them."""
    own = Path(full_path(folder))
    if is_address(files.root) or not own.is_relative_to(root := full_path(Path(files.root))):
        return files
    inside = f"{own.relative_to(root).as_posix()}/"
    return replace(files, each=lambda: (file for file in files.each() if not file.name.startswith(inside)))


def _is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None


def _made(asked: Mapping[str, Any], files: Files, folder: Path, dataset: str) -> dict[str, Any]:
    """Look at every picture's place, and note which shard it is in."""
    seen = _Seen()
    pictures = shards = 0
    with whole_file(folder / _INDEX) as part, part.open("w", encoding="utf-8") as index:
        found = seen.through(files.each())
        for each in cut(found, files.root, asked["shard"], named=files.named, dataset=dataset):
            index.write(each.to_json() + "\n")
            pictures += each.count
            shards += 1
    about = {**asked, **seen.about(), "pictures": pictures, "shards": shards}
    root = files.root if is_address(files.root) else told_from(folder, full_path(Path(files.root)))
    change_manifest(
        folder, lambda values: {**values, "root": root, "started": now(), "plan": about, "hash": hash_of(about)}
    )
    return about


def _resumed(known: dict[str, Any], asked: Mapping[str, Any], files: Files, folder: Path) -> dict[str, Any]:
    """The plan that is there.

    Raises:
        DataError: it is of something else.
    """
    for name, value in asked.items():
        if known.get(name) != value:
            raise DataError(
                f"`{folder}` holds shards of another plan: `{name}` was {shown(known.get(name))}, and is "
                f"{shown(value)}. Choose another output folder, or say it as it was."
            )
    seen = _Seen()
    for _ in seen.through(files.each()):
        pass
    if (found := seen.about()) != {name: known.get(name) for name in found}:
        raise DataError(
            f"`{folder}` holds shards of other pictures: `{files.root}` had {known.get('files'):,} files and has "
            f"{found['files']:,}, or some of them changed. Put "
            "them back as they were, or choose another output folder."
        )
    return known


class _Seen:
    """How many files went by, and their names and stamps in one hash."""

    def __init__(self) -> None:
        self._count, self._digest = 0, hashlib.sha256()

    def through(self, files: Iterable[File]) -> Iterator[File]:
        for file in files:
            self._count += 1
            self._digest.update(f"{file.name}\0{file.stamp}\n".encode(errors="surrogateescape"))
            yield file

    def about(self) -> dict[str, Any]:
        return {"files": self._count, "files_sha256": self._digest.hexdigest()}
