"""From values per picture to a table: means, bootstrap intervals, paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vitreous.statistics.store import Key, Record

__all__ = ["Array", "Cell", "Summary", "Values", "each_picture", "holm", "mean_curves", "median_cost", "summarize"]

Array = NDArray[np.float64]
_Key = tuple[str, bytes]
_CHUNK = 100  # resamples at once; bounds memory


@dataclass(frozen=True)
class Cell:
    """One number of the table.

    Attributes:
        model: spec.
        method: row.
        metric: row of the plan.
        name: of the number.
        value: over all pictures that count.
        low: end of its 95 % interval.
        high: the other end.
        pictures: how many count.
        difference: from the reference method, on the pictures that count for both; NaN for the reference itself.
        difference_low: end of its 95 % interval.
        difference_high: the other end.
        p: of this difference alone: how often resamples of the pictures do not agree with its sign, on both sides; at
            least what a sign test of so many pictures can give, 2^(1 − n).
    """

    model: str
    method: str
    metric: str
    name: str
    value: float
    low: float
    high: float
    pictures: int
    difference: float = float("nan")
    difference_low: float = float("nan")
    difference_high: float = float("nan")
    p: float = float("nan")


@dataclass(frozen=True)
class Values:
    """What a metric said of each picture about one method.

    Attributes:
        numbers: by name, (pictures, numbers of the name).
        counted: (pictures,), 1 for the pictures that enter the means.
    """

    numbers: Mapping[str, Array]
    counted: Array

    @classmethod
    def of(cls, records: Sequence[Record], pictures: Sequence[str]) -> Values | None:
        """Collect records; None if no picture counts."""
        said = [record for record in records if not record.error]
        if not any(record.counted for record in said):
            return None
        place = {picture: at for at, picture in enumerate(pictures)}
        numbers: dict[str, Array] = {}
        counted = np.zeros(len(pictures))
        for record in said:
            if record.picture in place:
                rows = numbers.setdefault(record.name, np.zeros((len(pictures), len(record.values))))
                rows[place[record.picture]] = record.values
                counted[place[record.picture]] = float(record.counted)
        return cls(numbers, counted) if counted.any() else None


@runtime_checkable
class Summary(Protocol):
    """How the values of pictures become what is reported; every metric is one."""

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of each value of one picture."""
        ...

    def summary(self, means: dict[str, Tensor]) -> dict[str, Tensor]:
        """What is reported, from the means over pictures."""
        ...


def summarize(
    model: str, metric: str, measure: Summary, found: Mapping[str, Values], *, reference: str, resamples: int, seed: int
) -> list[Cell]:
    """The numbers of one model and metric.

    Pictures are drawn again with replacement, the same ones for every method, and everything that the metric reports is
    computed anew; intervals are the middle 95 % of these.

    Args:
        model: spec.
        metric: row of the plan.
        measure: the metric.
        found: by row of the table, what it said, all about the same pictures in the same order.
        reference: the row that others are compared with.
        resamples: how many.
        seed: of the draws.
    """
    if not found:
        return []
    shared = {row: each.counted * found[reference].counted for row, each in found.items() if reference in found}
    wanted = {(row, each.counted.tobytes()): each.counted for row, each in found.items()}
    wanted |= {(row, counted.tobytes()): counted for row, counted in shared.items()}
    wanted |= {(reference, counted.tobytes()): counted for counted in shared.values()}
    rows = _report(measure, found, {key: each for key, each in wanted.items() if each.any()}, resamples, seed)
    cells: list[Cell] = []
    for row, each in found.items():
        for name, (value, drawn) in rows[row, each.counted.tobytes()].items():
            low, high = _middle(drawn)
            cell = Cell(model, row, metric, name, value, low, high, int(each.counted.sum()))
            both = shared.get(row)
            if row == reference or both is None or not both.any():
                cells.append(cell)
                continue
            own, other = (rows[which, both.tobytes()][name] for which in (row, reference))
            apart = own[1] - other[1]
            apart = apart[~np.isnan(apart)]  # a resample may draw no picture that counts for both
            less, more = (1 + np.sum(apart <= 0)) / (1 + len(apart)), (1 + np.sum(apart >= 0)) / (1 + len(apart))
            ends = _middle(apart)
            chance = 2.0 ** (1 - both.sum())  # that so many coins agree: resamples of few pictures know no doubt
            tested = (own[0] - other[0], *ends, float(min(1.0, max(chance, 2 * min(less, more)))))
            cells.append(Cell(model, row, metric, name, value, low, high, cell.pictures, *tested))
    return cells


def holm(chances: Sequence[float]) -> list[float]:
    """P values after so many tests: the smallest times their number, the next times one less, and so on; none falls.

    Source: Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6, 1979.

    >>> holm([0.25, 0.125, 0.75])
    [0.5, 0.375, 0.75]
    """
    found, least = [0.0] * len(chances), 0.0
    for tests, at in zip(range(len(chances), 0, -1), np.argsort(chances, kind="stable").tolist(), strict=True):
        found[at] = least = max(least, min(1.0, tests * chances[at]))
    return found


def mean_curves(measure: Summary, values: Values) -> dict[str, Array]:
    """By name, what the metric reports of all pictures that is a curve."""
    reported = _reported(measure, _means(values, values.counted[None]))
    return {name: value[0] for name, value in reported.items() if value.ndim == 2}


def each_picture(measure: Summary, values: Values) -> dict[str, Array]:
    """By name, what the metric reports of each picture alone: (pictures,), NaN for those that do not count."""
    alone = {name: np.where(values.counted[:, None] > 0, numbers, np.nan) for name, numbers in values.numbers.items()}
    return {name: value for name, value in _reported(measure, alone).items() if value.ndim == 1}


def median_cost(records: Mapping[Key, Sequence[Record]], model: str, row: str, name: str) -> float:
    """The median heat map's "seconds" or "forwards"; NaN where there is none."""
    costs = [record.values[0] for record in records.get(Key(model, row, ""), ()) if record.name == name]
    return float(np.median(costs)) if costs else float("nan")


def _report(
    measure: Summary, found: Mapping[str, Values], wanted: Mapping[_Key, Array], resamples: int, seed: int
) -> dict[_Key, dict[str, tuple[float, Array]]]:
    """For each row and the pictures that count, by name: what is reported of all of them, and of each resample."""
    pictures = len(next(iter(wanted.values())))
    generator = np.random.default_rng(seed)
    drawn: dict[_Key, list[dict[str, Array]]] = {key: [] for key in wanted}
    for start in range(0, resamples, _CHUNK):
        size = min(_CHUNK, resamples - start)
        weights = generator.multinomial(pictures, np.full(pictures, 1 / pictures), size=size)
        for key, counted in wanted.items():
            drawn[key].append(_summaries(measure, found[key[0]], weights * counted))
    return {
        key: {
            name: (float(value[0]), np.concatenate([part[name] for part in drawn[key]]))
            for name, value in _summaries(measure, found[key[0]], counted[None]).items()
        }
        for key, counted in wanted.items()
    }


def _summaries(measure: Summary, values: Values, weights: Array) -> dict[str, Array]:
    """What the metric reports for each row of picture weights: its single numbers, not its curves."""
    return {name: value for name, value in _reported(measure, _means(values, weights)).items() if value.ndim == 1}


def _means(values: Values, weights: Array) -> dict[str, Array]:
    """The weighted means, by name, for each row of picture weights."""
    total = weights.sum(1, keepdims=True)
    with np.errstate(invalid="ignore"):  # a resample may draw no picture that counts
        return {name: weights @ numbers / total for name, numbers in values.numbers.items()}


def _reported(measure: Summary, means: Mapping[str, Array]) -> dict[str, Array]:
    """What the metric reports for each row of means."""
    shaped = {name: torch.from_numpy(mean.reshape(len(mean), *measure.shapes[name])) for name, mean in means.items()}
    return {name: value.numpy() for name, value in torch.vmap(measure.summary)(shaped).items()}


def _middle(drawn: Array) -> tuple[float, float]:
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return float(low), float(high)
