"""How each patch of a picture relates to each other one, and the same in 8 bits for a page."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

__all__ = ["Relation", "Relations", "packed"]

_MOST = 1_000_000
"""Bytes of a picture's relations; above it, only the strongest partners of each patch are kept."""
_STRONGEST = 32
_STEPS = 255


@dataclass(frozen=True)
class Relation:
    """One meaning of "related".

    Attributes:
        grid: (height, width) of the patches.
        values: (layers, patches, patches), a row for each patch that is chosen, row by row of the grid.
        per: what the layers are: "block", "head", "class", or nothing where there is one.
        signed: the values have two sides.
        heads: how many are averaged in each layer; 0 where none are.
    """

    grid: tuple[int, int]
    values: Float[np.ndarray, "layers patches patches"]
    per: str = ""
    signed: bool = False
    heads: int = 0


Relations = Mapping[str, Relation | str]
"""By kind: "alike", "attends" or "matters"; or why there is none."""


def packed(relations: Relations) -> dict[str, Any]:
    """All of them in plain values: rows of 8 bits between the row's lowest and highest value, which are float32."""
    size = sum(each.values.size for each in relations.values() if isinstance(each, Relation))
    return {
        kind: {"reason": each} if isinstance(each, str) else _packed(each, fewest=size > _MOST)
        for kind, each in relations.items()
    }


def _packed(relation: Relation, *, fewest: bool) -> dict[str, Any]:
    rows = relation.values.reshape(-1, relation.values.shape[2]).astype(np.float32)
    about: dict[str, Any] = {"per": relation.per, "signed": relation.signed, "layers": len(relation.values)}
    about |= {"heads": relation.heads}
    about |= {"rows": relation.grid[0], "columns": relation.grid[1]}
    if fewest and rows.shape[1] > _STRONGEST:
        strength = np.abs(rows) if relation.signed else rows
        strongest = np.argpartition(strength, -_STRONGEST, axis=1)[:, -_STRONGEST:]
        rows = np.take_along_axis(rows, strongest, 1)
        about["partners"] = _text(strongest.astype("<u4"))
    low, high = rows.min(1, keepdims=True), rows.max(1, keepdims=True)
    spread = np.where(high > low, high - low, 1)
    steps = np.rint(_STEPS * (rows - low) / spread).astype(np.uint8)
    return about | {"values": _text(steps), "ends": _text(np.concatenate([low, high], 1).astype("<f4"))}


def _text(array: np.ndarray[Any, Any]) -> str:
    return base64.b64encode(array.tobytes()).decode()
