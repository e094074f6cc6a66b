"""What models are called where others read it: without the folders that they were loaded from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

__all__ = ["labels_of", "without_folders"]


def without_folders(spec: str) -> str:
    """A model's spec, with of every path but its last part.

    >>> without_folders("timm:vit_tiny_patch16_224@/home/ada/w.safetensors"), without_folders("/home/ada@lab/mine")
    ('timm:vit_tiny_patch16_224@w.safetensors', 'mine')
    >>> without_folders("hf:google/vit-base-patch16-224"), without_folders("hf:./runs/mine")
    ('hf:google/vit-base-patch16-224', 'hf:mine')
    """
    *sources, last = spec.split(":")
    if not sources or any("/" in each for each in sources) or Path(spec).is_absolute():
        return _last(spec)
    name, at, file = last.rpartition("@")
    if at or last.startswith(("/", ".", "~")):
        last = name + at + _last(file)
    return ":".join([*sources, last])


def labels_of(specs: Sequence[str]) -> list[str]:
    """What models are called, in order; numbered where two would be called alike.

    >>> labels_of(["runs/one/model", "default", "runs/two/model"])
    ['model', 'default', 'model 2']
    """
    labels: list[str] = []
    for spec in specs:
        label, number = without_folders(spec), 1
        while label in labels:
            number += 1
            label = f"{without_folders(spec)} {number}"
        labels.append(label)
    return labels


def _last(path: str) -> str:
    return Path(path).name or path
