"""Settings of several things by name, in one grammar: NAME of all of them, ROW.NAME of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vitreous.errors import UnknownName

__all__ = ["by_row"]


def by_row(
    given: Iterable[tuple[str, Any]], all_of: Iterable[str], others: Iterable[str] = (), where: str = "settings"
) -> Mapping[str, dict[str, Any]]:
    """By row, the settings given for it: those of it alone go before those of all.

    Args:
        given: (NAME, value) for all rows of `all_of`, (ROW.NAME, value) for one; of two of one name the last counts.
        all_of: the names of these rows.
        others: of rows that only have settings of their own.
        where: they were given, for the message.

    Raises:
        UnknownName: there is no such row.

    >>> by_row([("layer", "norm"), ("rise.masks", 99)], ["grad_cam", "rise"])
    {'grad_cam': {'layer': 'norm'}, 'rise': {'layer': 'norm', 'masks': 99}}
    """
    shared, general = [*all_of], dict[str, Any]()
    own: dict[str, dict[str, Any]] = {row: {} for row in (*shared, *others)}
    for name, value in given:
        row, _, last = name.rpartition(".")
        if row and row not in own:
            raise UnknownName(f"row of {where}", row, own)
        (own[row] if row else general)[last] = value
    return {row: {**(general if row in shared else {}), **values} for row, values in own.items()}
