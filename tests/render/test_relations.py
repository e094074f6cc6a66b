"""Eight bits keep every row to a 510th of its spread; where that is too much, the strongest partners stay."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from vitreous.render import relations
from vitreous.render.relations import Relation, packed


def unpacked(given: dict[str, Any]) -> np.ndarray[Any, Any]:
    def read(name: str, form: str) -> np.ndarray[Any, Any]:
        return np.frombuffer(base64.b64decode(given[name]), form)

    ends = read("ends", "<f4").reshape(-1, 2)
    steps = read("values", "u1").reshape(len(ends), -1)
    return ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * steps / 255


def test_rows_come_back_to_a_step() -> None:
    values = np.random.default_rng(0).normal(size=(2, 6, 6)) * 10.0 ** np.arange(6)[:, None]
    given = packed({"alike": Relation((2, 3), values), "attends": "no attention was seen."})
    assert given["attends"] == {"reason": "no attention was seen."}
    rows = values.reshape(12, 6)
    assert (np.abs(unpacked(given["alike"]) - rows) <= 1.001 * np.ptp(rows, 1)[:, None] / 510).all()


@pytest.mark.parametrize("signed", [True, False])
def test_above_a_megabyte_the_strongest_partners_stay(monkeypatch: pytest.MonkeyPatch, signed: bool) -> None:
    monkeypatch.setattr(relations, "_MOST", 100)
    values = np.random.default_rng(0).normal(size=(1, 40, 40))
    given = packed({"matters": Relation((5, 8), values, signed=signed)})["matters"]
    partners = np.frombuffer(base64.b64decode(given["partners"]), "<u4").reshape(40, 32)
    strength = np.abs(values[0]) if signed else values[0]
    for row, kept in enumerate(partners):
        assert set(kept) == set(np.argsort(strength[row])[-32:])
        np.testing.assert_allclose(unpacked(given)[row], values[0, row, kept], atol=np.ptp(values[0, row]) / 500)


def test_a_constant_row_stays_constant() -> None:
    given = packed({"alike": Relation((1, 2), np.ones((1, 2, 2)))})["alike"]
    assert (unpacked(given) == 1).all()
