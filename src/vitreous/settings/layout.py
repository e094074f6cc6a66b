"""What a run left in its folder as plain values, before another goes on from them: somebody may have changed them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vitreous.errors import DataError
from vitreous.settings.typed import shown, typed

__all__ = ["Section", "as_left"]

Section = Mapping[str, Any]
"""Values by name."""


def as_left(values: Any, layout: Mapping[str, Any], place: Path) -> dict[str, Any]:
    """The values, if those that the layout names are there and of its types; others stay as they are.

    Raises:
        DataError: one is not.

    >>> as_left({"pictures": "many"}, {"pictures": int}, Path("plan.json"))
    Traceback (most recent call last):
    vitreous.errors.DataError: `plan.json` is not as a run left it: `pictures` is 'many'. Choose another output folder.
    """
    if not isinstance(values, dict):
        raise DataError(f"`{place}` is not as a run left it: it holds {shown(values)}. Choose another output folder.")
    made: dict[str, Any] = {}
    for name, hint in layout.items():
        try:
            made[name] = typed(hint, values[name])
        except (KeyError, TypeError):
            said = f"`{name}` is {shown(values[name])}" if name in values else f"it has no `{name}`"
            raise DataError(f"`{place}` is not as a run left it: {said}. Choose another output folder.") from None
    return {**values, **made}
