"""What is measured of maps on a picture, in plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vitreous.errors import DataError
from vitreous.settings.typed import typed

__all__ = ["Curve", "MapTrust", "Trust"]


@dataclass(frozen=True)
class Curve:
    """What the model said while patches were hidden, step by step.

    Attributes:
        values: of what is explained, after each step; the first is the untouched picture's, the last that of a picture
            with all patches hidden.
        said: the class that the model then found most probable, and its probability; empty texts of values of a
            regression.
    """

    values: tuple[float, ...]
    said: tuple[str, ...]

    @property
    def area(self) -> float:
        """The mean of the values."""
        return sum(self.values) / len(self.values)


@dataclass(frozen=True)
class MapTrust:
    """What one map is worth on its picture.

    Attributes:
        order: all patches, numbered row by row from 0, the most relevant first.
        most_first: the deletion curve: the most relevant patches hidden first.
        least_first: the least relevant hidden first. Read from its end it is the insertion curve, in which the most
            relevant patches are put back first.
        abpc: area of `least_first` − area of `most_first`; more is better, 0 is what a random order has on average.
        above: how many of the random orders on the same picture have a smaller one.
        agreement: by name of each other map, Spearman's rank correlation with it, patch by patch, from −1 to 1; None
            where one of them is the same on all patches.
        with_other: likewise with the same method's map of another class; None where that was not made.
        changes: whether that map is another one, but for its scale; None likewise.
    """

    order: tuple[int, ...]
    most_first: Curve
    least_first: Curve
    abpc: float
    above: int
    agreement: Mapping[str, float | None]
    with_other: float | None = None
    changes: bool | None = None


@dataclass(frozen=True, repr=False)
class Trust:
    """What maps are worth on one picture.

    Attributes:
        grid: (height, width) of the patches that are hidden: the model's own, or 14 × 14 cells where it has none.
        hidden: how many of them are hidden after each step; the first number is 0, the last is all.
        of: what the values of all curves are, in words.
        fill: what is put in the place of patches.
        seed: of the random orders.
        random: ABPC of each random order on this picture, an order and its reverse in turn: the latter's is minus the
            former's.
        maps: by name.
        other: the class whose maps were held against these; empty for none.
    """

    grid: tuple[int, int]
    hidden: tuple[int, ...]
    of: str
    fill: str
    seed: int
    random: tuple[float, ...]
    maps: Mapping[str, MapTrust]
    other: str = ""

    def __repr__(self) -> str:
        said = "; ".join(f"{name} {self.verdict(name)}, ABPC {each.abpc:+.3f}" for name, each in self.maps.items())
        return f"Trust({said or 'no maps'})"

    def verdict(self, name: str) -> str:
        """How a map compares with the random orders, never finer than these: "above 11 of 12 random orders".

        >>> nothing = Curve((0.5, 0.5), ("", ""))
        >>> one = MapTrust((0,), nothing, nothing, abpc=0.1, above=1, agreement={})
        >>> found = Trust((1, 1), (0, 1), "score of a cat", "mean", 0, (0.2, -0.2), {"mine": one})
        >>> found.verdict("mine"), found
        ('above 1 of 2 random orders', Trust(mine above 1 of 2 random orders, ABPC +0.100))
        """
        return f"above {self.maps[name].above} of {len(self.random)} random orders"

    def to_json(self) -> dict[str, Any]:
        """All of it in plain values: the fields by their names."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> Trust:
        """The inverse of `to_json`.

        Raises:
            DataError: it is none.
        """
        try:
            made = typed(cls, values)
        except TypeError:
            made = None
        if not isinstance(made, cls):
            raise DataError("what stands for the trust in maps is none. Measure it again.")
        return made
