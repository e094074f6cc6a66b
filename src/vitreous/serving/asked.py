"""What a visitor asks for, in checked values: nothing that they name is opened, imported or run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from jaxtyping import Bool
from torch import Tensor

from vitreous.errors import DataError, UnknownName
from vitreous.explaining.picture_job import PictureJob
from vitreous.explaining.targets import class_index
from vitreous.explaining.trust.measure import TrustSettings
from vitreous.methods import METHODS, make_method
from vitreous.models.loaded import LoadedModel
from vitreous.settings.typed import typed_fields

__all__ = ["Explain", "Heads", "Hide", "job_of", "mask_of", "read"]

T = TypeVar("T")

_BATCH = 16
"""Masked pictures at once: a request can be stopped between them."""


@dataclass(frozen=True)
class Explain:
    """Explain a picture.

    Attributes:
        picture: its name in the store.
        model: place among those of the server.
        methods: names.
        target: index of the class; None for the predicted one.
        against: index of the class that it is held against; None for none.
        trust: whether what the maps are worth is measured.
    """

    picture: str
    methods: tuple[str, ...]
    model: int = 0
    target: int | None = None
    against: int | None = None
    trust: bool = True


@dataclass(frozen=True)
class Hide:
    """Hide patches of a picture that was explained.

    Attributes:
        result: its name in the store.
        rows: of the grid.
        columns: of the grid.
        patches: that are hidden, row by row from 0.
        which: of the result's classes.
    """

    result: str
    rows: int
    columns: int
    patches: tuple[int, ...]
    which: int = 0


@dataclass(frozen=True)
class Heads:
    """Show single heads of a picture that was explained.

    Attributes:
        result: its name in the store.
        block: of attention, from 0.
    """

    result: str
    block: int


def read(kind: type[T], values: Any) -> T:
    """A request of that kind.

    Raises:
        DataError: it is none.
    """
    if not isinstance(values, Mapping) or not values.keys() <= kind.__annotations__.keys():
        raise DataError(
            f"the request is no object with the fields {', '.join(kind.__annotations__)}. Load the page again."
        )
    try:
        return kind(**typed_fields(kind, values, "the request", DataError))
    except TypeError:
        raise DataError("the request lacks a field. Load the page again.") from None


def job_of(subject: LoadedModel, asked: Explain, most: int) -> PictureJob:
    """What is to be done.

    Raises:
        DataError: no methods, or too many.
        UnknownName: there is no such method or class.
    """
    if not 1 <= len(set(asked.methods)) <= most:
        raise DataError(f"{len(set(asked.methods))} methods were asked for. Choose one to {most}.")
    for name in asked.methods:
        if name not in METHODS:  # never a place in Python, as the command line takes it
            raise UnknownName("method", name[:80], METHODS)
    for index in (asked.target, asked.against):
        if index is not None and not 0 <= index < len(subject.class_names):
            raise UnknownName("class", str(index), [f"0 … {len(subject.class_names) - 1}"])
    return PictureJob(
        subject,
        {name: make_method(name) for name in asked.methods},
        "predicted" if asked.target is None else _class(subject, asked.target),
        "" if asked.against is None else _class(subject, asked.against),
        trust=TrustSettings(batch_size=_BATCH) if asked.trust else None,
    )


def _class(subject: LoadedModel, index: int) -> str:
    """The name of a class where that leads to it; else its index."""
    name = subject.class_names[index]
    try:
        return name if class_index(name, subject.class_names) == index else str(index)
    except UnknownName:
        return str(index)


def mask_of(asked: Hide, most: int) -> Bool[Tensor, "rows columns"]:
    """What is hidden, on the grid.

    Raises:
        DataError: a grid that cannot be, or patches that are not on it.
    """
    patches = asked.rows * asked.columns
    if min(asked.rows, asked.columns) < 1 or patches > most:
        raise DataError(f"a grid of {asked.rows} × {asked.columns} patches is too large, or none. Load the page again.")
    if not all(0 <= each < patches for each in asked.patches):
        raise DataError(f"a patch lies beyond the {asked.rows} × {asked.columns} of the picture. Load the page again.")
    mask = torch.zeros(patches, dtype=torch.bool)
    mask[list(asked.patches)] = True
    return mask.reshape(asked.rows, asked.columns)
