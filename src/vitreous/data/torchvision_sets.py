"""torchvision's classification data sets, already on disk."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from vitreous.errors import DataError, UnknownName

__all__ = ["TorchvisionSplit", "load_torchvision"]

_HELD_OUT = ("val", "valid", "test")
"""What the part to validate with is called, the first that a data set has."""


@dataclass(frozen=True)
class TorchvisionSplit:
    """Part of a data set of torchvision's."""

    dataset: Any
    class_names: tuple[str, ...]

    @property
    def labels(self) -> Sequence[int]:
        """The index of each picture's class; most data sets are read for it."""
        return list(_labels(self.dataset))

    def __len__(self) -> int:
        """How many pictures there are."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        """One RGB picture and the index of its class."""
        picture, label = self.dataset[index]
        return picture.convert("RGB"), int(label)


def load_torchvision(name: str, root: str) -> tuple[TorchvisionSplit, TorchvisionSplit, str]:
    """The training and validation pictures of a data set, and its fingerprint. Nothing is downloaded.

    Args:
        name: its class in `torchvision.datasets`, such as "FashionMNIST".
        root: the folder that torchvision would have downloaded it to.

    Returns:
        training pictures, validation pictures (the test part where there is no other), SHA-256 of the number of
        pictures and of a hundred of them.

    Raises:
        UnknownName: torchvision has no such data set in two parts.
        DataError: it is not in that folder, or is no set of pictures with a class each.
    """
    from torchvision import datasets

    kinds = {kind: getattr(datasets, kind) for kind in datasets.__all__}
    parted = [kind for kind, made in kinds.items() if {"train", "split"} & inspect.signature(made).parameters.keys()]
    if name not in parted:
        raise UnknownName("data set of torchvision", name, parted)
    train, held_out = _parts(kinds[name], root)
    match train[0]:
        case (Image.Image(), int()):
            pass
        case _:
            raise DataError(f"torchvision's `{name}` is no set of pictures with a class each. Choose one that is.")
    known = getattr(train, "classes", None)
    count = 1 + max(label for part in (train, held_out) for label in _labels(part)) if known is None else 0
    names = tuple(str(each) for each in known or (f"class {at}" for at in range(count)))
    splits = TorchvisionSplit(train, names), TorchvisionSplit(held_out, names)
    return *splits, _fingerprint(splits)


def _parts(kind: Any, root: str) -> tuple[Any, Any]:
    try:
        if "train" in inspect.signature(kind).parameters:
            return kind(root, train=True), kind(root, train=False)
        train, refused = kind(root, split="train"), ""
        for part in _HELD_OUT:
            try:
                return train, kind(root, split=part)
            except ValueError as error:  # how torchvision says that it has no such part
                refused = str(error)
    except (RuntimeError, OSError, ValueError) as error:
        refused = str(error)
    raise DataError(
        f"torchvision's `{kind.__name__}` cannot be read from {root}: {refused.partition(chr(10))[0].rstrip('.')}. "
        "Give the folder that torchvision downloaded it to."
    )


def _labels(dataset: Any) -> Iterator[int]:
    return (int(dataset[at][1]) for at in range(len(dataset)))


def _fingerprint(splits: tuple[TorchvisionSplit, ...]) -> str:
    digest = hashlib.sha256()
    for split in splits:
        digest.update(f"{type(split.dataset).__name__} {len(split)}\n".encode())
        for at in range(0, len(split), max(1, len(split) // 50)):
            picture, label = split[at]
            digest.update(picture.tobytes() + label.to_bytes(4))
    return digest.hexdigest()
