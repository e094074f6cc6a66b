"""What a run needs to go on after it was stopped, in one file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from vitreous.errors import DataError, ExplainError
from vitreous.files.reading import parse_json
from vitreous.files.writing import whole_file
from vitreous.models.tensors import read_pickle
from vitreous.training.toml_records import make_record

__all__ = ["AnyRecipe", "has_checkpoint", "load_checkpoint", "save_checkpoint"]

_NAME = "checkpoint.pt"


@runtime_checkable
class AnyRecipe(Protocol):
    """A recipe: of a classifier, or of a detector."""

    @property
    def seed(self) -> int:
        """Of every random choice."""
        ...

    @property
    def epochs(self) -> int:
        """Times through the pictures."""
        ...

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        ...

    def to_toml(self) -> str:
        """What it can be read from."""
        ...


def has_checkpoint(folder: Path) -> bool:
    """Whether a run was kept there."""
    return (folder / _NAME).exists()


def save_checkpoint(folder: Path, state: Mapping[str, Any], recipe: AnyRecipe, *, epoch: int) -> None:
    """Keep the state after `epoch` epochs, in place of an earlier one."""
    with whole_file(folder / _NAME) as part:
        try:
            torch.save({**state, "epoch": epoch, "recipe": _text(recipe)}, part)
        except RuntimeError:  # what torch makes of a full disk
            raise OSError("the disk did not take all of it") from None


def load_checkpoint(folder: Path, recipe: AnyRecipe, device: torch.device) -> dict[str, Any]:
    """The state that was kept, and under "epoch" how many epochs were done.

    Raises:
        DataError: there is none, it is damaged, or another recipe made it.
    """
    path = folder / _NAME
    if not path.is_file():
        raise DataError(f"{folder} has no {_NAME} to resume from. Leave --resume out to start there.")
    remedy = "Remove it and start again."
    state = read_pickle(path, remedy, DataError, device=device)
    wanted: dict[str, type] = {"epoch": int, "recipe": str}
    if not isinstance(state, dict) or not all(isinstance(state.get(name), kind) for name, kind in wanted.items()):
        raise DataError(f"{path} is no checkpoint of a run. {remedy}")
    if not _same(state["recipe"], recipe, path):
        raise DataError(f"{path} was made with another recipe. Resume with the same one, or start elsewhere.")
    return state


def _text(recipe: AnyRecipe) -> str:
    return json.dumps(recipe.to_json(), sort_keys=True)


def _same(made_with: str, recipe: AnyRecipe, path: Path) -> bool:
    """Whether a checkpoint's recipe says the same; a setting that was unknown when it was written has its default."""
    try:
        values = parse_json(made_with, f"the recipe in `{path}`", "Start elsewhere.")
        return isinstance(values, dict) and _text(make_record(type(recipe), values, path)) == _text(recipe)
    except ExplainError:
        return False
