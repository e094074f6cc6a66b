"""`--set`, in one grammar for every command that runs methods or metrics."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

from vitreous.settings.rows import by_row

__all__ = ["Settings", "read_settings"]

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="[ROW.]NAME=VALUE",
        help="A setting of all methods that are named, such as readout=mean, or of one, such as mgrw.walks=500. May be "
        "repeated.",
        show_default=False,
    ),
]


def read_settings(
    given: Sequence[str], all_of: Iterable[str], others: Iterable[str] = ()
) -> Mapping[str, dict[str, Any]]:
    """By row, the settings given for it: those of it alone go before those of all.

    Args:
        given: "NAME=VALUE" for all rows of `all_of`, "ROW.NAME=VALUE" for one.
        all_of: the names of these rows.
        others: of rows that only have settings of their own.

    Raises:
        UnknownName: there is no such row.

    >>> read_settings(["layer=norm", "rise.masks=99"], ["grad_cam", "rise"])
    {'grad_cam': {'layer': 'norm'}, 'rise': {'layer': 'norm', 'masks': 99}}
    """
    pairs: list[tuple[str, Any]] = []
    for setting in given:
        name, equals, value = (part.strip() for part in setting.partition("="))
        if not equals:
            raise typer.BadParameter(
                f"'{setting}' has no '='. Write NAME=VALUE, or ROW.NAME=VALUE for one of several.", param_hint="--set"
            )
        pairs.append((name, _parsed(value)))
    return by_row(pairs, all_of, others, "--set")


def _parsed(value: str) -> Any:
    """1 is a number, true a truth value, mean a word."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
