"""What is to be made again: a manifest, which is data and names no code to run, and what was said beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from vitreous.benchmarking.plan import reading_of
from vitreous.errors import DataError
from vitreous.files.ledger import full_path
from vitreous.files.manifest import digest_of
from vitreous.files.reading import within
from vitreous.models.loaded import LoadedModel
from vitreous.models.zoo import load
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
        path: of the file that they are from.
        output: a new folder.
        own: classes of one's own, whose code may run.
        data: where the data set is now; empty for where it was.
        device: where to compute.
    """

    values: Mapping[str, Any]
    path: Path
    output: Path
    own: Sequence[str]
    data: str
    device: torch.device

    @property
    def folder(self) -> Path:
        """That the manifest lies in, with the results."""
        return self.path.parent

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

    def load(self, about: Mapping[str, Any]) -> LoadedModel:
        """The model that `describe_model` told about, with the weights that it had.

        Raises:
            DataError: they are others.
            ExplainError: it cannot be loaded.
        """
        said = reading_of(about["reading"], self.path).said()
        texts = typed(tuple[str, ...], about.get("prompts") or ())
        model = load(
            typed(str, about["model"]), device=self.device, dtype=_DTYPES[about["dtype"]], prompts=texts, **said
        )
        self.check_weights(model.weights_sha256, about["weights_sha256"], model.name)
        return model

    def file(self, name: str, inner: str = "") -> Path | None:
        """The file that the manifest tells under a name, with its hash beside; None where it tells of none.

        Args:
            name: in the manifest.
            inner: the file's name where the manifest tells a folder, which is what is returned then.

        Raises:
            DataError: it is gone, or is another.
        """
        told = self.values.get(name)
        if told is None:
            return None
        place = Path(full_path(self.folder / typed(str, told)))
        whole = place / inner if inner and place.is_dir() else within(place)[0]
        if digest_of(whole) != self.values[f"{name}_sha256"]:
            raise DataError(f"`{place}` is not the `{name}` of the manifest. Put back the file that it was.")
        return place

    def check_fingerprint(self, found: str, told: str, dataset: str) -> None:
        """Refuse another data set than that of the manifest."""
        if found != told:
            raise DataError(f"`{dataset}` has other pictures than those of the manifest. Put back those that it had.")

    def check_weights(self, found: str | None, told: str | None, model: str) -> None:
        """Refuse other weights than those of the manifest."""
        if found != told:
            raise DataError(f"the weights of `{model}` are not those of the manifest. Put back the file that it was.")
