"""What is to be made again: a manifest, which is data and names no code to run, and what was said beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vitreous.errors import DataError
from vitreous.files.manifest import MANIFEST
from vitreous.settings.named import is_own
from vitreous.settings.typed import typed

__all__ = ["REMEDY", "Asked"]

REMEDY = "Give a manifest.json that `vitreous` wrote, beside its results."
_DTYPES = {str(each).removeprefix("torch."): each for each in (torch.float32, torch.float64, torch.bfloat16)}


@dataclass(frozen=True)
class Asked:
    """A manifest, and what was said on the command line.

    Attributes:
        values: of the manifest.
        folder: that it lies in, with the results.
        output: a new folder.
        own: classes of one's own, whose code may run.
        data: where the data set is now; empty for where it was.
        device: where to compute.
    """

    values: Mapping[str, Any]
    folder: Path
    output: Path
    own: Sequence[str]
    data: str
    device: torch.device

    @property
    def path(self) -> Path:
        """Of the manifest."""
        return self.folder / MANIFEST

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return _DTYPES[self.values["dtype"]]

    def check_own(self, name: str) -> str:
        """The name, unless it is of code that nobody named on the command line."""
        if ":" in name and name not in self.own:
            raise DataError(
                f"`{self.path}` uses {name}, and a file names no code to run. Say --use {name} if you trust that code."
            )
        return name

    def dataset(self, told: Any) -> str:
        """The data set: where it is now, or where the manifest says, unless code would have to run that reads it."""
        name = self.data or typed(str, told)
        if not self.data and is_own(name):
            raise DataError(
                f"`{self.path}` has data that {name} reads, and a file names no code to run. Say --dataset {name} if "
                "you trust that code."
            )
        return name

    def check_weights(self, found: str | None, told: str | None, model: str) -> None:
        """Refuse other weights than those of the manifest."""
        if found != told:
            raise DataError(f"the weights of `{model}` are not those of the manifest. Put back the file that it was.")
