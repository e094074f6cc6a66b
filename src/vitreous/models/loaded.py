"""What loading gives: a model, and all that is known about it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Unpack

import torch
from torch import Tensor, nn

from vitreous.errors import ModelError
from vitreous.models.labels import without_folders
from vitreous.models.preprocess import Preprocess
from vitreous.trace.reading import Reading, Said

__all__ = ["LoadedModel", "digest", "numbered"]

_SOME = 8
"""Classes that a notebook names."""


@dataclass(frozen=True, repr=False)
class LoadedModel:
    """A classifier with what it takes to use it.

    Attributes:
        model: in evaluation mode when it comes from `load`; as it was given when it comes from `describe`.
        preprocess: from picture to input; None when the model does not say.
        class_names: one per logit; "class 0", … where nobody named them, and none where even their number is unknown.
        name: the spec that it was loaded by, or the name of its class.
        weights_file: the file that holds all its weights, where there is one.
        reading: what cannot be told of it by measuring, such as which of its outputs are the class scores.
        prompts: the texts that are its classes, where it was loaded with them.
    """

    model: nn.Module
    preprocess: Preprocess | None
    class_names: tuple[str, ...]
    name: str
    weights_file: Path | None = None
    reading: Reading = Reading()  # noqa: RUF009  # frozen
    prompts: tuple[str, ...] = ()

    def __repr__(self) -> str:
        classes = f"{len(self.class_names)} classes" if self.class_names else "no class names"
        size = sum(parameter.numel() for parameter in self.model.parameters())
        kind, how = type(self.model).__name__, "" if self.reading == Reading() else f", read as {self.reading}"
        return f"LoadedModel({self.short_name}: {kind} of {size:,} parameters, {classes}{how})"

    def _repr_html_(self) -> str:
        """What a notebook shows: a table."""
        from vitreous.render import page

        size = sum(parameter.numel() for parameter in self.model.parameters())
        count, some = len(self.class_names), ", ".join(self.class_names[:_SOME])
        rows = {
            "model": self.short_name,
            "network": f"{type(self.model).__name__}, {size:,} parameters",
            "classes": f"{count}: {some}{', …' if count > _SOME else ''}" if count else "no names",
            "pictures": str(self.preprocess or "it does not say how they are prepared"),
            "read as": "" if self.reading == Reading() else str(self.reading),
        }
        return page.facts([(name, text) for name, text in rows.items() if text])

    def read_as(self, **how: Unpack[Said]) -> LoadedModel:
        """The same model, read otherwise where that is said: `output`, `link`, `part`, `call`, `grid`, `patches`.

        Raises:
            UnknownName, ShapeError: as `Reading`.
        """
        return replace(self, reading=self.reading.but(**how))

    def prepared(self) -> Preprocess:
        """How its pictures are prepared.

        Raises:
            ModelError: it does not say, or not so that it could be done.
        """
        if self.preprocess is None:
            raise ModelError(
                f"`{self.name}` does not say how its pictures are prepared. In Python give preprocess= to "
                "vitreous.explain; in a folder of transformers let preprocessor_config.json resize and crop to one "
                "size."
            )
        return self.preprocess

    @property
    def short_name(self) -> str:
        """Its name without folders, for sheets and pages; all of it stands in the manifest.

        >>> LoadedModel(nn.Identity(), None, (), "timm:vit_tiny_patch16_224@/home/ada/w.safetensors").short_name
        'timm:vit_tiny_patch16_224@w.safetensors'
        """
        return without_folders(self.name)

    @cached_property
    def weights_sha256(self) -> str:
        """Hash of the weights file or, where there is none, of the model's state as it is now."""
        if self.weights_file is None:
            return digest(self.model.state_dict())
        with self.weights_file.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, types, shapes and values of the tensors, in the order of their names."""
    total = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return total.hexdigest()


def numbered(count: int, kind: str = "class") -> tuple[str, ...]:
    """Names for what nobody named.

    >>> numbered(2)
    ('class 0', 'class 1')
    """
    return tuple(f"{kind} {index}" for index in range(count))
