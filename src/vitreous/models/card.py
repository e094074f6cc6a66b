"""A model folder: `model.safetensors` and the `model.json` card that says how to build and feed it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import save
from torch import Tensor, nn

from vitreous.errors import ModelError
from vitreous.files.reading import read_json
from vitreous.files.writing import check_writable, whole_file, write_json
from vitreous.models.preprocess import Preprocess
from vitreous.models.registry import build
from vitreous.models.tensors import read_tensors
from vitreous.settings.typed import typed_fields

__all__ = ["CARD", "WEIGHTS", "ModelCard", "read_card", "read_weights", "save_folder"]

CARD = "model.json"
WEIGHTS = "model.safetensors"
_Card = TypeVar("_Card")


@dataclass(frozen=True)
class ModelCard:
    """How to build and feed a trained model.

    Attributes:
        architecture: a name in timm's registry.
        arguments: keyword arguments of `timm.create_model`, `num_classes` aside.
        class_names: one per logit, in order.
        preprocess: from picture to input.
        notes: anything worth keeping beside the weights (accuracy, recipe, versions).
    """

    architecture: str
    arguments: Mapping[str, Any]
    class_names: tuple[str, ...]
    preprocess: Preprocess
    notes: Mapping[str, Any] = field(default_factory=dict)

    def build(self) -> nn.Module:
        """The architecture with random weights.

        Raises:
            UnknownName: there is no such architecture.
            ModelError: it cannot be built with these arguments.
        """
        return build(self.architecture, self.arguments, num_classes=len(self.class_names))

    def save(self, folder: Path, state: Mapping[str, Tensor], *, dtype: torch.dtype = torch.float32) -> None:
        """Write the folder; each file appears whole or not at all."""
        save_folder(folder, {**asdict(self), "preprocess": self.preprocess.to_json()}, state, dtype=dtype)

    @classmethod
    def read(cls, folder: Path) -> ModelCard:
        """The card of a model folder.

        Raises:
            ModelError: there is no card, or it cannot be understood.
        """

        def make(values: dict[str, Any]) -> ModelCard:
            made = {**values, "preprocess": Preprocess.from_json(values["preprocess"])}
            return cls(**typed_fields(cls, made, f"`{folder / CARD}`", ModelError))

        return read_card(folder, make, "vitreous train")


def save_folder(
    folder: Path, card: Mapping[str, Any], state: Mapping[str, Tensor], *, dtype: torch.dtype = torch.float32
) -> None:
    """Write a model folder: weights of that type, and the card's plain values."""
    check_writable(folder)
    weights = {name: (t.to(dtype) if t.is_floating_point() else t).contiguous() for name, t in state.items()}
    with whole_file(folder / WEIGHTS) as part:
        part.write_bytes(save(weights))
    write_json(folder / CARD, card)


def read_card(folder: Path, make: Callable[[dict[str, Any]], _Card], writer: str) -> _Card:
    """What `make` makes of the card in a folder that the command `writer` wrote.

    Raises:
        ModelError: there is no card, or `make` cannot understand it.
    """
    path, remedy = folder / CARD, "Train or save the model again."
    if not path.is_file():
        raise ModelError(f"`{folder}` has no {CARD}. Give a folder written by `{writer}`.")
    values = read_json(path, remedy, ModelError)
    try:
        return make(values)
    except (TypeError, KeyError, AttributeError) as error:  # what is missing, too much, or no table at all
        said = f"it says no {error}" if isinstance(error, KeyError) else error
        raise ModelError(f"`{path}` is not a card of `{writer}`: {said}. {remedy}") from None


def read_weights(folder: Path) -> dict[str, Tensor]:
    """The weights of a model folder, as float32.

    Raises:
        ModelError: the file is missing or damaged.
    """
    state = read_tensors(folder / WEIGHTS, "Train or save the model again.")
    return {name: t.float() if t.is_floating_point() else t for name, t in state.items()}
